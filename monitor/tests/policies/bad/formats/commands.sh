# rules
iptables -I FORWARD -j DROP -d 192.0.2.1
