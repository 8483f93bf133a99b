use jiff::civil::date;
use tempfile::TempDir;

use super::*;
use crate::{devices::oui::Owner, policy::MacAddress};

const LEASE: &str = "1796000000 64:cc:2e:11:22:33 192.168.50.10 phone *\n";

fn put(root: &TempDir, path: &str, text: &str) -> PathBuf {
    let path = root.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

fn settings(leases: &[&Path]) -> DeviceFileSettings {
    let files = leases.iter().map(|path| LeasesOption {
        path: path.to_path_buf(),
        format: None,
    });
    DeviceFileSettings {
        leases: Some(files.collect()),
        ..DeviceFileSettings::default()
    }
}

/// Addresses and host names of all leases.
fn leases(files: &mut DeviceFiles) -> Vec<(String, String)> {
    let mut found = Vec::new();
    files.leases(|of_file| {
        found.extend(of_file.into_iter().map(|lease| {
            (
                lease.address.to_string(),
                lease.host_name.unwrap_or_default(),
            )
        }));
    });
    found
}

#[test]
fn the_well_known_places_are_read_if_they_exist() {
    let root = TempDir::new().unwrap();
    put(&root, LEASES[0], LEASE);
    put(
        &root,
        LEASES[2],
        "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state\n192.168.50.11,64:cc:2e:11:22:34,,3600,1796000000,1,0,0,tablet,0\n",
    );
    put(
        &root,
        "var/lib/systemd/network/dhcp-server-lease/wlan0",
        r#"[{"ClientId":[1,100,204,46,17,34,53],"Address":[192,168,50,12],"Hostname":"tv"}]"#,
    );
    put(&root, LEASES_OPENWRT[0], &LEASE.replace(".10", ".13"));
    let settings = DeviceFileSettings::default();
    let mut files = DeviceFiles::below(root.path(), &settings, &["wlan0".to_owned()]);
    let names: Vec<_> = leases(&mut files)
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    assert_eq!(names, ["phone", "tablet", "tv"]);
    assert_eq!(files.take_warnings(), Vec::<String>::new());
    // Only OpenWrt has lease files in a folder into which every user can write.
    put(&root, OPENWRT, "");
    let mut files = DeviceFiles::below(root.path(), &settings, &[]);
    assert!(leases(&mut files).contains(&("192.168.50.13".to_owned(), "phone".to_owned())));
}

#[test]
fn a_file_is_read_again_only_if_it_changed() {
    let root = TempDir::new().unwrap();
    let path = put(&root, "a", LEASE);
    let mut files = DeviceFiles::new(&settings(&[&path]), &[]);
    assert!(files.have_leases_changed());
    assert!(!files.have_leases_changed());
    put(
        &root,
        "a",
        &format!("{LEASE}{}", LEASE.replace(".10", ".11")),
    );
    assert!(files.have_leases_changed());
    fs::remove_file(&path).unwrap();
    assert!(files.have_leases_changed());
    assert!(!files.have_leases_changed());
}

#[test]
fn each_broken_file_gives_one_warning_and_the_others_are_read() {
    let root = TempDir::new().unwrap();
    let good = put(&root, "good", LEASE);
    let bad_line = put(&root, "bad-line", &format!("{LEASE}1 a 300.0.0.1 secret\n"));
    let unknown = put(&root, "unknown", "hello\n");
    let half = put(&root, "half", "{\"Leases\":[\n{\"Cli");
    let huge = put(&root, "huge", "");
    fs::File::create(&huge).unwrap().set_len(17 << 20).unwrap();
    let fifo = root.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let absent = root.path().join("absent");
    let empty = put(&root, "empty", "\n");
    let paths = [
        &bad_line, &unknown, &half, &huge, &fifo, &absent, &empty, &good,
    ];
    let mut files = DeviceFiles::new(&settings(&paths.map(PathBuf::as_path)), &[]);
    for _ in 0..2 {
        assert_eq!(leases(&mut files).len(), 2);
    }
    let root = format!("{}/", root.path().to_string_lossy());
    let warnings: Vec<_> = files.take_warnings();
    let warnings: Vec<_> = warnings
        .iter()
        .map(|text| text.replace(&root, ""))
        .collect();
    assert_eq!(
        warnings,
        [
            "lease file bad-line, line 2: a field is not an IP address; check which server writes the file",
            "lease file unknown: its first lines are no lease of dnsmasq, kea, isc, networkd or odhcpd; write `format`, or give the file of such a server",
            "lease file half: line 2: it is not the JSON that systemd-networkd writes; give a file of the folder dhcp-server-lease, or name another format",
            "lease file huge: it has more than 16.0 MiB, the limit for a file about devices; check which program writes the file, or name another one in `devices`",
            "lease file fifo: not a regular file: it is a FIFO; put a regular file in its place",
            "lease file absent: No such file or directory (os error 2)",
        ]
    );
}

#[test]
fn vendors_have_the_date_of_the_setting_or_of_the_file() {
    let root = TempDir::new().unwrap();
    let path = put(&root, "oui.txt", "64CC2E\tWritten here\n");
    let mac: MacAddress = "64:cc:2e:11:22:33".parse().unwrap();
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    for (as_of, expected) in [(Some(date(2026, 1, 2)), date(2026, 1, 2)), (None, today)] {
        let path = path.clone();
        let settings = DeviceFileSettings {
            vendors: vec![VendorsOption { path, as_of }],
            ..DeviceFileSettings::default()
        };
        let mut files = DeviceFiles::new(&settings, &[]);
        let vendors = files.vendors().unwrap();
        let Owner::Vendor(vendor) = vendors.owner(mac) else {
            panic!("no vendor");
        };
        assert_eq!((vendor.name, vendor.as_of), ("Written here", expected));
        assert!(files.vendors().is_none());
    }
}

#[test]
fn a_broken_file_of_vendors_or_names_gives_a_warning_with_its_line() {
    let root = TempDir::new().unwrap();
    let vendors = put(&root, "oui.txt", "64CC2E\tA\nhello\n");
    let empty = put(&root, "empty.txt", "hello\n");
    let names = put(
        &root,
        "names",
        "64:cc:2e:11:22:33 tablet\nx y\n64:cc:2e:11:22:34\n",
    );
    let vendor = |path| VendorsOption { path, as_of: None };
    let settings = DeviceFileSettings {
        vendors: vec![vendor(vendors), vendor(empty)],
        names: Some(names),
        ..DeviceFileSettings::default()
    };
    let mut files = DeviceFiles::new(&settings, &[]);
    files.vendors().unwrap();
    assert_eq!(files.names().unwrap().names.len(), 1);
    let root = format!("{}/", root.path().to_string_lossy());
    let warnings = files.take_warnings().join("\n").replace(&root, "");
    for expected in [
        "file of vendors oui.txt, line 2: ",
        "file of vendors empty.txt: no line has a MAC prefix and a vendor (line 1: ",
        "file of names names, line 2: `x` is not a MAC address",
        "(2 lines are skipped)",
    ] {
        assert!(warnings.contains(expected), "{expected}\n{warnings}");
    }
}
