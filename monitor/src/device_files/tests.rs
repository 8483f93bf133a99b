use jiff::{SignedDuration, civil::date};
use tempfile::TempDir;

use super::{
    places::{LEASES, LEASES_OPENWRT, OPENWRT},
    *,
};
use crate::{config::LeasesOption, devices::oui::Owner, policy::MacAddress};

const LEASE: &str = "4000000000 64:cc:2e:11:22:33 192.168.50.10 phone *\n";

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

/// Reads the lease files that changed. Returns their number.
fn round(files: &mut DeviceFiles, now: Timestamp) -> usize {
    files.begin_leases();
    let mut read = 0;
    while files.read_next_leases(now) {
        read += 1;
    }
    read
}

/// A time at which every file is old, and the leases still hold.
fn later() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(1)
}

/// Addresses and host names of all leases.
fn leases(files: &mut DeviceFiles) -> Vec<(String, String)> {
    round(files, later());
    known(files)
}

fn known(files: &DeviceFiles) -> Vec<(String, String)> {
    let all = files.leases().flatten();
    all.map(|lease| {
        let name = lease.host_name.clone();
        (lease.address.to_string(), name.unwrap_or_default())
    })
    .collect()
}

fn warnings(files: &mut DeviceFiles, root: &TempDir) -> Vec<String> {
    let root = format!("{}/", root.path().to_string_lossy());
    let warnings = files.take_warnings().into_iter();
    warnings.map(|text| text.replace(&root, "")).collect()
}

#[test]
fn the_well_known_places_are_read_if_they_exist() {
    let root = TempDir::new().unwrap();
    put(&root, LEASES[0], LEASE);
    put(
        &root,
        LEASES[2],
        "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state\n192.168.50.11,64:cc:2e:11:22:34,,3600,4000000000,1,0,0,tablet,0\n",
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
fn only_files_that_changed_are_read_and_the_others_stay() {
    let root = TempDir::new().unwrap();
    let (first, second) = (put(&root, "a", LEASE), put(&root, "b", ""));
    let mut files = DeviceFiles::new(&settings(&[&first, &second]), &[]);
    assert_eq!(round(&mut files, later()), 2);
    assert_eq!(round(&mut files, later()), 0);
    put(&root, "b", &LEASE.replace(".10", ".11"));
    assert_eq!(round(&mut files, later()), 1);
    assert_eq!(known(&files).len(), 2);
    fs::remove_file(&first).unwrap();
    round(&mut files, later());
    assert_eq!(known(&files).len(), 1);
}

/// A server is writing the file: half a line looks like a whole one with another name.
#[test]
fn half_a_line_gives_no_lease_and_a_warning_only_if_it_stays() {
    let root = TempDir::new().unwrap();
    let (half, _) = LEASE.split_at(LEASE.find("one").unwrap());
    let path = put(
        &root,
        "a",
        &format!("{LEASE}{}", half.replace(".10", ".11")),
    );
    let mut files = DeviceFiles::new(&settings(&[&path]), &[]);
    for _ in 0..2 {
        // The file was written just now, so each round reads it again.
        assert_eq!(round(&mut files, Timestamp::now()), 1);
        assert_eq!(known(&files).len(), 1);
        assert_eq!(warnings(&mut files, &root), [""; 0]);
    }
    assert_eq!(leases(&mut files).len(), 1);
    let expected =
        "lease file a: its last line has no line break, so it is not used; add one".to_owned();
    assert_eq!(warnings(&mut files, &root), [expected]);
    // Half of the JSON does not remove what is known.
    let json = r#"[{"ClientId":[1,100,204,46,17,34,53],"Address":[192,168,50,12]}]"#;
    put(&root, "a", json);
    assert_eq!(leases(&mut files).len(), 1);
    put(&root, "a", &json[..20]);
    round(&mut files, Timestamp::now());
    assert_eq!(known(&files).len(), 1);
}

#[test]
fn each_broken_file_gives_one_warning_and_the_others_are_read() {
    let root = TempDir::new().unwrap();
    let good = put(&root, "good", LEASE);
    let bad_line = put(&root, "bad-line", "");
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
    // The place of the bad line changes. It stays the same problem.
    for lines in 1..4 {
        let bad = "1 a 300.0.0.1 secret *\n";
        put(&root, "bad-line", &format!("{}{bad}", LEASE.repeat(lines)));
        assert_eq!(leases(&mut files).len(), 2);
    }
    assert_eq!(
        warnings(&mut files, &root),
        [
            "lease file bad-line, line 2: a field is not an IP address; check which server writes the file",
            "lease file unknown: its first lines are no lease of dnsmasq, kea, isc, networkd or odhcpd; write `format`, or give the file of such a server",
            "lease file half: line 2: it is not the JSON that systemd-networkd writes; give a file of the folder dhcp-server-lease, or name another format",
            "lease file huge: it has more than 16.0 MiB, the limit for a file about devices; check which program writes the file, or name another one in `devices`",
            "lease file fifo: not a regular file: it is a FIFO; put a regular file in its place",
            "lease file absent: No such file or directory (os error 2)",
        ]
    );
    // A good version in between makes it a new problem.
    put(&root, "bad-line", LEASE);
    leases(&mut files);
    put(
        &root,
        "bad-line",
        &format!("1 a 300.0.0.1 secret *\n{LEASE}"),
    );
    leases(&mut files);
    let again = warnings(&mut files, &root);
    assert!(
        again[0].starts_with("lease file bad-line, line 1: "),
        "{again:?}"
    );
}

/// Servers append to the files of Kea and ISC. A flood must not hide the newest leases.
#[test]
fn of_a_long_file_the_newest_leases_are_read() {
    let root = TempDir::new().unwrap();
    let columns = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state\n";
    let row =
        |mac: &str, name: &str| format!("192.168.50.10,{mac},,3600,4000000000,1,0,0,{name},0\n");
    let flood = row("02:00:00:00:00:01", &"x".repeat(200)).repeat(80_000);
    let phone = row("64:cc:2e:11:22:33", "phone");
    let kea = put(&root, "kea", &format!("{columns}{flood}{phone}"));
    let flood = "lease 192.168.50.11 {\n  binding state free;\n}\n".repeat(400_000);
    let tv = "lease 192.168.50.11 {\n  binding state active;\n  hardware ethernet 64:cc:2e:11:22:34;\n  client-hostname \"tv\";\n}\n";
    let isc = put(&root, "isc", &format!("{flood}{tv}"));
    let mut files = DeviceFiles::new(&settings(&[&kea, &isc]), &[]);
    let names: Vec<_> = leases(&mut files)
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    assert_eq!(names, ["phone", "tv"]);
    let rest = "it has more than 16.0 MiB; only its end is read; let the server clean it up";
    let told = warnings(&mut files, &root);
    assert_eq!(
        told,
        [
            format!("lease file kea: {rest}"),
            format!("lease file isc: {rest}")
        ]
    );
}

#[test]
fn all_files_together_have_a_limit_and_each_keeps_a_share() {
    let root = TempDir::new().unwrap();
    let file = |name: &str, third: usize| {
        let line = |number: usize| format!("0 - 10.{third}.{}.{} a *\n", number >> 8, number & 255);
        put(&root, name, &(0..8000).map(line).collect::<String>())
    };
    let paths = [file("a", 1), file("b", 2), file("c", 3)];
    let few = put(&root, "d", LEASE);
    let [a, b, c] = &paths;
    let mut files = DeviceFiles::new(&settings(&[a, b, c, &few]), &[]);
    let found = leases(&mut files);
    assert_eq!(found.len(), 16_384);
    assert!(found.contains(&("192.168.50.10".to_owned(), "phone".to_owned())));
    assert_eq!(files.lost(), 3 * 8000 + 1 - 16_384);
    assert!(!warnings(&mut files, &root).is_empty());
}

/// A file that cannot be read for a moment is no empty file.
#[test]
fn vendors_and_names_stay_while_their_file_cannot_be_read() {
    let root = TempDir::new().unwrap();
    let vendors = put(&root, "oui.txt", "64CC2E\tA\n");
    let names = put(&root, "names", "64:cc:2e:11:22:33 tablet\n");
    let as_of = Some(date(2026, 1, 2));
    let settings = DeviceFileSettings {
        vendors: vec![VendorsOption {
            path: vendors.clone(),
            as_of,
        }],
        names: Some(names.clone()),
        ..DeviceFileSettings::default()
    };
    let mut files = DeviceFiles::new(&settings, &[]);
    assert!(files.vendors().is_some() && files.names().is_some());
    assert!(files.vendors().is_none() && files.names().is_none());
    // A folder in the place of the file: an error other than "not found".
    for path in [&vendors, &names] {
        fs::rename(path, path.with_extension("kept")).unwrap();
        fs::create_dir(path).unwrap();
    }
    assert!(files.vendors().is_none() && files.names().is_none());
    assert_eq!(files.take_warnings().len(), 2);
    for path in [&vendors, &names] {
        fs::remove_dir(path).unwrap();
        fs::rename(path.with_extension("kept"), path).unwrap();
    }
    assert!(files.names().unwrap().names.len() == 1 && files.vendors().is_some());
    for path in [&vendors, &names] {
        fs::remove_file(path).unwrap();
    }
    assert!(files.names().unwrap().names.is_empty() && files.vendors().is_some());
    assert_eq!(files.take_warnings().len(), 2);
}

#[test]
fn networkd_may_give_leases_on_the_bridge_of_an_interface() {
    let root = TempDir::new().unwrap();
    let port = root.path().join("sys/class/net/lan1");
    fs::create_dir_all(&port).unwrap();
    std::os::unix::fs::symlink("../br-lan", port.join("master")).unwrap();
    put(
        &root,
        "var/lib/systemd/network/dhcp-server-lease/br-lan",
        r#"[{"ClientId":[1,100,204,46,17,34,53],"Address":[192,168,50,12],"Hostname":"tv"}]"#,
    );
    let settings = DeviceFileSettings::default();
    let mut files = DeviceFiles::below(root.path(), &settings, &["lan1".to_owned()]);
    assert_eq!(
        leases(&mut files),
        [("192.168.50.12".to_owned(), "tv".to_owned())]
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
        "file of names names, line 2: it does not begin with a MAC address",
        "(2 lines are skipped)",
    ] {
        assert!(warnings.contains(expected), "{expected}\n{warnings}");
    }
}
