# The kill switch of wg-quick's manual page, for both families.
rule="! -o $dev -m mark ! --mark $(wg show $dev fwmark) -m addrtype ! --dst-type LOCAL -j REJECT"
case "$script_type" in
up) iptables -I OUTPUT $rule && ip6tables -I OUTPUT $rule ;;
down) iptables -D OUTPUT $rule; ip6tables -D OUTPUT $rule ;;
esac
