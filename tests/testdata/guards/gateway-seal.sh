# What the classic script that seals the VPN's gateway does, in nft: the server's
# IPv4 address is for root alone, the rules stand in the shared chain behind
# whatever is there, and `down` takes them out, also while the client restarts.
case "$script_type" in
up)
	nft -f - <<END
add table ip filter
add chain ip filter OUTPUT { type filter hook output priority 0; policy accept; }
add rule ip filter OUTPUT ip daddr ${trusted_ip:-203.0.113.10} meta skuid $(id -u) accept
add rule ip filter OUTPUT ip daddr ${trusted_ip:-203.0.113.10} reject
END
	;;
down) nft flush chain ip filter OUTPUT ;;
esac
exit 0
