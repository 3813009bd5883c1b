# Every target but install works in this directory and in namespaces that its
# programs make; none changes the network of the machine.

GO      ?= go
PREFIX  ?= /usr/local
DESTDIR ?=
BUILD    = CGO_ENABLED=0 $(GO) build -trimpath

# What the tests run: the client and server that are guarded, the firewall
# tool that checks our rules, namespaces, a resolver and a DHCP client.
PACKAGES = openvpn nftables iproute2 util-linux uidmap dnsmasq-base busybox ca-certificates iptables ufw dbus-daemon python3-gi python3-dbus python3-nftables
NEEDED   = openvpn nft ip nsenter setpriv newuidmap dnsmasq busybox iptables-nft ufw dbus-daemon

.PHONY: build deps firewalld demo test lint bench install uninstall clean

build:
	$(BUILD) -o bin/vpnguard ./cmd/vpnguard

# Installs Debian packages only where a program is missing.
deps:
	@missing=; for p in $(NEEDED); do PATH="$$PATH:/usr/sbin:/sbin" command -v $$p >/dev/null || missing="$$missing $$p"; done; \
	/usr/bin/python3 -c "import gi, dbus, nftables" 2>/dev/null || missing="$$missing firewalld's modules"; \
	if [ -n "$$missing" ]; then echo "installing what provides:$$missing"; \
	  as=; [ "$$(id -u)" = 0 ] || as=sudo; \
	  $$as apt-get update -q && $$as env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $(PACKAGES); fi

demo: deps build
	@$(GO) run ./tests/demo "$(CURDIR)/bin/vpnguard"

# The tests' firewalld is unpacked and not installed: installed, Debian starts it
# on the machine. ufw stays off until `ufw enable`.
firewalld: deps
	@[ -e .cache/firewalld/usr/sbin/firewalld ] || { rm -rf .cache/firewalld && mkdir -p .cache/firewalld/deb && cd .cache/firewalld/deb && \
	  { apt-get download -q firewalld python3-firewall || { as=; [ "$$(id -u)" = 0 ] || as=sudo; $$as apt-get update -q && apt-get download -q firewalld python3-firewall; }; } && \
	  for d in *.deb; do dpkg-deb -x "$$d" ..; done; }

test: deps firewalld
	$(GO) test -count=1 -timeout 40m $(TESTFLAGS) ./...

lint:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { echo "not gofmt-ed: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags faultpoints ./...
	$(GO) tool staticcheck ./...
	$(GO) tool go-errorlint ./...
	$(GO) tool exhaustive -d ./...
	$(GO) mod tidy -diff

bench: deps
	$(GO) test -count=1 -run '^$$' -bench . -benchtime 1x -timeout 30m ./tests
	$(GO) test -count=1 -run '^$$' -bench . -benchtime 1x -timeout 10m ./tunnel

install: build
	install -D -m 0755 bin/vpnguard $(DESTDIR)$(PREFIX)/sbin/vpnguard
	install -D -m 0644 man/vpnguard.8 $(DESTDIR)$(PREFIX)/share/man/man8/vpnguard.8
	for u in vpnguard-lock vpnguard; do \
	  sed 's|/usr/local/sbin|$(PREFIX)/sbin|' dist/systemd/$$u.service | install -D -m 0644 /dev/stdin $(DESTDIR)$(PREFIX)/lib/systemd/system/$$u.service; done

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/sbin/vpnguard $(DESTDIR)$(PREFIX)/share/man/man8/vpnguard.8 \
	  $(DESTDIR)$(PREFIX)/lib/systemd/system/vpnguard-lock.service $(DESTDIR)$(PREFIX)/lib/systemd/system/vpnguard.service

clean:
	rm -rf bin
