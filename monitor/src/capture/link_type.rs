//! The link types of captures: number and name.

use std::fmt;

/// The kind of header with which the frames of a capture begin. The numbers and names
/// are those of <https://www.tcpdump.org/linktypes.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkType(pub u16);

impl LinkType {
    /// IEEE 802.3 Ethernet. WiFi interfaces outside monitor mode have it too.
    pub const ETHERNET: Self = Self(1);

    /// Returns the name without `LINKTYPE_`. Knows the link types that can occur on a
    /// gateway; returns `None` for others.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        let name = match self.0 {
            0 => "NULL",
            1 => "ETHERNET",
            6 => "IEEE802_5",
            8 => "SLIP",
            9 => "PPP",
            10 => "FDDI",
            50 => "PPP_HDLC",
            51 => "PPP_ETHER",
            101 => "RAW",
            104 => "C_HDLC",
            105 => "IEEE802_11",
            107 => "FRELAY",
            108 => "LOOP",
            113 => "LINUX_SLL",
            117 => "PFLOG",
            119 => "IEEE802_11_PRISM",
            127 => "IEEE802_11_RADIOTAP",
            147..=162 => "USER",
            163 => "IEEE802_11_AVS",
            187 => "BLUETOOTH_HCI_H4",
            189 => "USB_LINUX",
            192 => "PPI",
            195 => "IEEE802_15_4_WITHFCS",
            201 => "BLUETOOTH_HCI_H4_WITH_PHDR",
            220 => "USB_LINUX_MMAPPED",
            228 => "IPV4",
            229 => "IPV6",
            239 => "NFLOG",
            249 => "USBPCAP",
            251 => "BLUETOOTH_LE_LL",
            252 => "WIRESHARK_UPPER_PDU",
            253 => "NETLINK",
            274 => "ETHERNET_MPACKET",
            276 => "LINUX_SLL2",
            _ => return None,
        };
        Some(name)
    }
}

impl From<pcap_parser::Linktype> for LinkType {
    /// Takes the lower 16 bits. In pcap, the upper 16 bits describe the frame check
    /// sequence.
    fn from(word: pcap_parser::Linktype) -> Self {
        let [low, high, ..] = word.0.to_le_bytes();
        Self(u16::from_le_bytes([low, high]))
    }
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name().unwrap_or("UNKNOWN"), self.0)
    }
}
