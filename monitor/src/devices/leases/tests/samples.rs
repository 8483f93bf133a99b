//! Samples of each format.

pub(super) const DNSMASQ: &str = "\
1796000000 64:cc:2e:11:22:33 192.168.50.10 Redmi-Note-8T 01:64:cc:2e:11:22:33
0 64:cc:2e:11:22:34 192.168.50.11 * *
43200 64:cc:2e:11:22:35 192.168.50.12 no-clock ff:11:22:33:44:00:01
1796000000 06-64:cc:2e:11:22:36 192.168.50.13 other-hardware *
duid 00:01:00:01:2a:5b:1c:3d:64:cc:2e:11:22:ff
1796000000 287454020 2001:db8::10 Redmi-Note-8T 00:01:00:01:2a:5b:1c:3e:64:cc:2e:11:22:33
1796000000 T287454021 2001:db8::11 * 00:01:00:01:2a:5b:1c:3e:64:cc:2e:11:22:33
";

pub(super) const KEA4: &str = "\
address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id
192.168.50.10,64:cc:2e:11:22:33,01:64:cc:2e:11:22:33,3600,1795990000,1,0,0,redmi,0,,0
192.168.50.11,64:cc:2e:11:22:34,,3600,1796000000,1,0,0,old,0,,0
192.168.50.12,64:cc:2e:11:22:35,,3600,1796000000,1,0,0,gone,0,,0
192.168.50.13,,,3600,1796000000,1,0,0,,1,,0
192.168.50.10,64:cc:2e:11:22:33,01:64:cc:2e:11:22:33,3600,1796000000,1,1,1,redmi-note.lan.,0,{ \"a\": 1&#x2c \"b\": 2 },0
192.168.50.11,64:cc:2e:11:22:34,,4294967295,6091000000,1,0,0,a&#x2cb&#x1b,0,,0
192.168.50.12,64:cc:2e:11:22:35,,0,1796000000,1,0,0,gone,0,,0
192.168.50.14,64:cc:2e:11:22:36,,3600,1796000000,1,0,0,released,3,,0
";

/// The columns of Kea 3.0.
pub(super) const KEA6: &str = "\
address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context,hwtype,hwaddr_source,pool_id
2001:db8::10,00:03:00:01:64:cc:2e:11:22:33,4000,1796000000,1,3000,0,1,128,0,0,redmi,64:cc:2e:11:22:33,0,,1,4,0
2001:db8::11,00:03:00:01:64:cc:2e:11:22:34,4000,1796000000,1,3000,0,2,128,0,0,tv,64:cc:2e:11:22:34,0,,1,2,0
2001:db8:1:a00::,00:03:00:01:64:cc:2e:11:22:35,4000,1796000000,1,3000,2,1,60,0,0,,,0,,,,0
2001:db8::12,00:03:00:01:64:cc:2e:11:22:36,4000,1796000000,1,3000,0,1,128,0,0,self-made,,4,,,,0
";

/// The columns of the first version.
pub(super) const KEA_OLD: &str = "\
address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname
192.168.50.10,64:cc:2e:11:22:33,,3600,1796000000,1,0,0,redmi
";

pub(super) const ISC4: &str = "\
# The format of this file is documented in the dhcpd.leases(5) manual page.
# This lease file was written by isc-dhcp-4.4.3-P1

# authoring-byte-order entry is generated, DO NOT DELETE
authoring-byte-order little-endian;

server-duid \"\\000\\001\\000\\001'\\031\\2236\\010\\000'\\335TA\";

failover peer \"dhcp\" state {
  my state normal at 3 2026/11/25 12:00:00;
}
lease 192.168.50.10 {
  starts 3 2026/11/25 12:00:00;
  ends 3 2026/11/25 13:00:00;
  binding state active;
  hardware ethernet 64:cc:2e:11:22:33;
  client-hostname \"old-name\";
}
lease 192.168.50.11 {
  ends never;
  binding state active;
  next binding state free;
  rewind binding state free;
  hardware ethernet 64:cc:2e:11:22:34;
  uid \"\\377'\\\"t\\324\\000\\001;}\";
  set vendor-class-identifier = \"MSFT 5.0\";
  client-hostname \"a\\\"b\\033\\\\c;}\";
  on expiry or release {
    if option dhcp-message-type = 7 { set x = \"}\"; }
    binding state free;
  }
}
lease 192.168.50.12 {
  ends 4 2026/11/26 13:00:00;
  binding state free;
  hardware ethernet 64:cc:2e:11:22:35;
}
lease 192.168.50.10 {
  starts 3 2026/11/25 12:30:00;
  ends epoch 1796000000; # Mon Nov 30 01:33:20 2026
  binding state active;
  next binding state free;
  hardware ethernet 64:cc:2e:11:22:33;
  client-hostname \"Redmi-Note-8T\";
}
host omapi-client {
  hardware ethernet 64:cc:2e:11:22:99;
  fixed-address 192.168.50.99;
}
";

pub(super) const ISC6: &str = "\
default-duid \"\\000\\001\";
ia-na \"\\021\\\"3D\\000\\003\\000\\001d\\314.\\021\\\"3\" {
  cltt 3 2026/11/25 12:00:00;
  iaaddr 2001:db8::10 {
    binding state active;
    preferred-life 27000;
    max-life 43200;
    ends 1 2026/11/30 01:33:20;
    set ddns-client-fqdn = \"redmi.lan\";
  }
  iaaddr 2001:db8::11 {
    binding state expired;
    ends 1 2026/11/30 01:33:20;
  }
}
ia-pd \"\\021\\\"3D\" {
  cltt 3 2026/11/25 12:00:00;
  iaprefix 2001:db8:1::/48 {
    binding state active;
    ends never;
  }
}
";

pub(super) const NETWORKD: &str = r#"{"BootID":"d7f5041316de4f1f992a8a2822218a71","Address":[192,168,50,1],"PrefixLength":24,"Leases":[
{"ClientId":[255,1,2,3,4,0,2],"AddressString":"192.168.50.10","Address":[192,168,50,10],"Hostname":"Redmi-Note-8T","HardwareAddressType":1,"HardwareAddressLength":6,"HardwareAddress":[100,204,46,17,34,51],"ExpirationUSec":86400000000,"ExpirationRealtimeUSec":1796000000000000},
{"ClientId":[1,100,204,46,17,34,52],"Address":[192,168,50,11],"ExpirationRealtimeUSec":18446744073709551615},
{"Address":[192,168,50]},
{"ClientId":[1,100,204,46,17,34,53],"Address":[192,168,50,12],"HardwareAddressType":32,"HardwareAddress":[1,2,3,4,5,6,7,8]}
]}
"#;

pub(super) const NETWORKD_256: &str = r#"[{"ClientId":[1,100,204,46,17,34,51],"Address":[192,168,50,10],"Hostname":"redmi","ExpirationUSec":86400000000}]"#;

pub(super) const ODHCPD: &str = "\
192.168.50.10\tRedmi-Note-8T.lan\tRedmi-Note-8T
# br-lan 64cc2e112233 ipv4 Redmi-Note-8T 1796000000 c0a8320a 32 192.168.50.10/32
# br-lan 64cc2e112234 ipv4 - -1 c0a8320b 32 192.168.50.11/32
# br-lan 64cc2e112235 ipv4 broken\\x20my_phone 1796000000 c0a8320c 32 192.168.50.12/32
# br-lan 64cc2e112236 ipv4 over 0 c0a8320d 32 192.168.50.13/32
2001:db8::a10\tRedmi-Note-8T.lan\tRedmi-Note-8T
# br-lan 000300016 64cc2e11 Redmi-Note-8T 1796000000 a10 128 2001:db8::a10/128 fd00::a10/128
# br-lan 000300016 1 - 1796000000 a 60 2001:db8:0:10::/60
fd00:aaaa::3\ttest.example.com\ttest
";
