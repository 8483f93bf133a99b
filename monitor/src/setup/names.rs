//! What names of interfaces say. A name is a habit, so it decides only where no fact does.

/// True for names that OpenWrt gives to the devices' side: `br-lan`, `lan`, `br-guest`, and VLANs
/// of them such as `br-lan.20`.
pub(super) fn is_of_devices(name: &str) -> bool {
    let (word, _) = name.split_once('.').unwrap_or((name, ""));
    let word = word.strip_prefix("br-").unwrap_or(word);
    ["lan", "guest"].contains(&word.trim_end_matches(|c: char| c.is_ascii_digit()))
}

/// True for names that OpenWrt, pppd, `ModemManager` and routers' makers give to the side of the
/// provider: `wan`, `wan.7`, `pppoe-wan`, `wwan0`, `wwp0s20u4`.
pub(super) fn is_of_provider(name: &str) -> bool {
    let (word, _) = name.split_once('.').unwrap_or((name, ""));
    let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
    ["wan", "br-wan", "wwan"].contains(&word)
        || ["pppoe-", "wwp"]
            .iter()
            .any(|begin| name.starts_with(begin))
}

/// True for names that the kernel, systemd and OpenWrt give to WiFi: `wlan0`, `wlp3s0`,
/// `wlx00c0ca000000`, `phy0-ap0`.
pub(super) fn is_wireless(name: &str) -> bool {
    const PREDICTABLE: [&str; 5] = ["wlan", "wlp", "wlx", "wlo", "wls"];
    let of_openwrt = name
        .strip_prefix("phy")
        .and_then(|rest| rest.split_once('-'));
    PREDICTABLE.iter().any(|begin| name.starts_with(begin))
        || of_openwrt.is_some_and(|(_, kind)| kind.starts_with("ap"))
}

/// Names of bridges and ports that Docker, Podman, libvirt, LXC and Kubernetes make.
pub(super) fn is_for_guests(name: &str) -> bool {
    const PREFIXES: [&str; 9] = [
        "docker", "podman", "virbr", "vnet", "lxcbr", "lxdbr", "veth", "cni", "cali",
    ];
    let is_docker_network = name
        .strip_prefix("br-")
        .is_some_and(|id| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    is_docker_network || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_each_system_are_known_and_others_are_not() {
        for name in ["br-lan", "lan", "lan4", "br-guest", "br-lan.20"] {
            assert!(is_of_devices(name), "{name}");
        }
        for name in [
            "wan",
            "wan6",
            "wan.7",
            "pppoe-wan",
            "wwan0",
            "wwp0s20u4",
            "br-wan",
        ] {
            assert!(is_of_provider(name) && !is_of_devices(name), "{name}");
        }
        for name in [
            "wlan0",
            "wlp3s0",
            "wlx00c0ca000000",
            "phy0-ap0",
            "phy1.2-ap1",
        ] {
            assert!(is_wireless(name), "{name}");
        }
        for name in [
            "eth0",
            "enp3s0",
            "br0",
            "lanky",
            "lander",
            "phy0-sta0",
            "wanda",
        ] {
            let any = is_of_devices(name) || is_of_provider(name) || is_wireless(name);
            assert!(!any, "{name}");
        }
    }
}
