# Every target but install works in this directory and in namespaces that its
# programs make; none changes the network of the machine.

GO      ?= go
PREFIX  ?= /usr/local
DESTDIR ?=
BUILD    = CGO_ENABLED=0 $(GO) build -trimpath

# What the tests run: the client and server that are guarded, the firewall
# tool that checks our rules, namespaces, a resolver and DHCP clients.
PACKAGES = openvpn nftables iproute2 util-linux uidmap dnsmasq-base busybox dhcpcd-base ca-certificates iptables ufw wireguard-tools dbus-daemon python3-gi python3-dbus python3-nftables \
           openconnect vpnc-scripts libev4 libsystemd-shared libgssapi-krb5-2 libhttp-parser2.9 libmaxminddb0 libnl-3-200 libnl-route-3-200 liboath0 libprotobuf-c1 libradcli4 libtalloc2 \
           tshark libxml2-utils perl
NEEDED   = openvpn nft ip nsenter setpriv newuidmap dnsmasq busybox dhcpcd iptables-nft ufw wg dbus-daemon openconnect tshark xmllint prove

PYTHON   = gi, dbus, nftables

# What vm-test runs beside; its guests' packages come from debootstrap.
vm-deps: PACKAGES = qemu-system-x86 debootstrap e2fsprogs
vm-deps: NEEDED   = qemu-system-x86_64 debootstrap mkfs.ext4 debugfs
vm-deps: PYTHON   = sys

# What page-test runs beside.
page-deps: PACKAGES = chromium-headless-shell
page-deps: NEEDED   = chromium-headless-shell
page-deps: PYTHON   = sys

.PHONY: build deps vm-deps page-deps page-test firewalld ocserv resolvers demo test audit vm-test lint nebula bench install uninstall clean

build:
	$(BUILD) -o bin/vpnguard ./cmd/vpnguard

# Installs Debian packages only where a program is missing.
deps vm-deps page-deps:
	@missing=; for p in $(NEEDED); do PATH="$$PATH:/usr/sbin:/sbin" command -v $$p >/dev/null || missing="$$missing $$p"; done; \
	/usr/bin/python3 -c "import $(PYTHON)" 2>/dev/null || missing="$$missing python3:$(PYTHON)"; \
	if [ -n "$$missing" ]; then echo "installing what provides:$$missing"; \
	  as=; [ "$$(id -u)" = 0 ] || as=sudo; \
	  $$as apt-get update -q && $$as env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $(PACKAGES); fi
	@[ "$$(stat -c %a /dev/net/tun)" = 666 ] || { echo "letting users open /dev/net/tun, as udev does where it runs"; \
	  as=; [ "$$(id -u)" = 0 ] || as=sudo; $$as chmod 0666 /dev/net/tun; }

demo: deps build
	@$(GO) run ./tests/demo "$(CURDIR)/bin/vpnguard"

# The tests' firewalld is unpacked and not installed: installed, Debian starts it
# on the machine. ufw stays off until `ufw enable`.
firewalld: deps
	@[ -e .cache/firewalld/usr/sbin/firewalld ] || { rm -rf .cache/firewalld && mkdir -p .cache/firewalld/deb && cd .cache/firewalld/deb && \
	  { apt-get download -q firewalld python3-firewall || { as=; [ "$$(id -u)" = 0 ] || as=sudo; $$as apt-get update -q && apt-get download -q firewalld python3-firewall; }; } && \
	  for d in *.deb; do dpkg-deb -x "$$d" ..; done; }

# The same for the tests' VPN server; its libraries are installed by deps.
ocserv: deps
	@[ -e .cache/ocserv/usr/sbin/ocserv ] || { rm -rf .cache/ocserv && mkdir -p .cache/ocserv/deb && cd .cache/ocserv/deb && \
	  { apt-get download -q ocserv || { as=; [ "$$(id -u)" = 0 ] || as=sudo; $$as apt-get update -q && apt-get download -q ocserv; }; } && \
	  for d in *.deb; do dpkg-deb -x "$$d" ..; done; }
	@PATH="$$PATH:/usr/sbin:/sbin" ldd .cache/ocserv/usr/sbin/ocserv | { ! grep "not found"; }

# And for the owners of the resolver configuration, each in a directory of its
# own: installed, they would take the machine's.
RESOLVERS = systemd-resolved openresolv resolvconf network-manager libnm0 libndp0
resolvers: deps
	@[ -e .cache/resolvers/done ] || { rm -rf .cache/resolvers && mkdir -p .cache/resolvers/deb && cd .cache/resolvers/deb && \
	  { apt-get download -q $(RESOLVERS) || { as=; [ "$$(id -u)" = 0 ] || as=sudo; $$as apt-get update -q && apt-get download -q $(RESOLVERS); }; } && \
	  for d in *.deb; do p=$${d%%_*}; case $$p in lib*) p=network-manager;; esac; mkdir -p "../$$p" && dpkg-deb -x "$$d" "../$$p"; done && touch ../done; }
	@ldd .cache/resolvers/systemd-resolved/lib/systemd/systemd-resolved | { ! grep "not found"; }

test: deps firewalld ocserv resolvers
	$(GO) test -count=1 -timeout 40m $(TESTFLAGS) ./...
	@# The kernel's structures of a machine of 32 bits, which this one can run as well.
	[ "$$($(GO) env GOHOSTARCH)" != amd64 ] || GOARCH=386 $(GO) test -count=1 -timeout 5m -run '(Carries|AllocateNothing$$)/offloads$$' $(TESTFLAGS) ./tunnel

# A booted Debian in an emulated machine that has a cable to the test and none
# to any network: about 15 minutes, and 5 more the first time, which makes the
# guest's disk in the user's cache directory and needs root or sudo for that.
vm-test: vm-deps
	$(GO) test -tags vm -count=1 -v -timeout 90m $(TESTFLAGS) ./tests/vm

# The audit's page in a real browser, at the widths of a telephone and a desk;
# VPNGUARD_SHOTS keeps the screenshots in a directory.
page-test: page-deps
	$(GO) test -tags browser -count=1 -run Browser $(TESTFLAGS) ./audit/report

# The whole laboratory against every client, and against guards whose holes are
# known: about ten minutes.
audit: deps ocserv
	$(GO) test -tags audit -count=1 -v -timeout 40m -run 'TestTheAudit' $(TESTFLAGS) ./tests

lint:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { echo "not gofmt-ed: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags faultpoints ./...
	$(GO) vet -tags vm ./tests/vm
	$(GO) vet -tags audit ./tests
	$(GO) vet -tags browser ./audit/report
	for a in arm64 arm 386; do GOARCH=$$a $(GO) vet ./tunnel/... || exit 1; done
	GOARCH=arm64 $(GO) build ./...
	$(GO) tool staticcheck ./...
	$(GO) tool staticcheck -tags vm ./tests/vm
	$(GO) tool staticcheck -tags browser ./audit/report
	$(GO) tool go-errorlint ./...
	$(GO) tool exhaustive -d ./...
	$(GO) mod tidy -diff

# Nebula is no part of the module: it is built beside, where it can be.
NEBULA = github.com/slackhq/nebula/cmd
nebula:
	@mkdir -p .cache/nebula
	@[ -e .cache/nebula/nebula ] || GOBIN=$(CURDIR)/.cache/nebula $(GO) install $(NEBULA)/nebula@v1.12.0 $(NEBULA)/nebula-cert@v1.12.0 2>.cache/nebula/why || cat .cache/nebula/why

# About six minutes. VPNGUARD_BENCH_ROUNDS and VPNGUARD_BENCH_GB make it longer or
# shorter; a round counts while others use less than a quarter of a processor.
bench: deps nebula
	$(GO) test -count=1 -run '^$$' -bench . -benchtime 1x -timeout 30m ./tests
	$(GO) test -count=1 -run '^$$' -bench . -benchtime 1x -timeout 10m ./tunnel

install: build
	install -D -m 0755 bin/vpnguard $(DESTDIR)$(PREFIX)/sbin/vpnguard
	install -D -m 0644 man/vpnguard.8 $(DESTDIR)$(PREFIX)/share/man/man8/vpnguard.8
	for u in vpnguard-lock vpnguard vpnguard-tunnel@; do \
	  sed 's|/usr/local/sbin|$(PREFIX)/sbin|' dist/systemd/$$u.service | install -D -m 0644 /dev/stdin $(DESTDIR)$(PREFIX)/lib/systemd/system/$$u.service; done
	install -D -m 0644 dist/sysusers.d/vpnguard.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/vpnguard.conf
	sed 's|/usr/local/sbin|$(PREFIX)/sbin|' dist/udev/99-vpnguard.rules | install -D -m 0644 /dev/stdin $(DESTDIR)/etc/udev/rules.d/99-vpnguard.rules

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/sbin/vpnguard $(DESTDIR)$(PREFIX)/share/man/man8/vpnguard.8 \
	  $(DESTDIR)$(PREFIX)/lib/systemd/system/vpnguard-lock.service $(DESTDIR)$(PREFIX)/lib/systemd/system/vpnguard.service \
	  $(DESTDIR)$(PREFIX)/lib/systemd/system/vpnguard-tunnel@.service $(DESTDIR)$(PREFIX)/lib/sysusers.d/vpnguard.conf \
	  $(DESTDIR)/etc/udev/rules.d/99-vpnguard.rules

clean:
	rm -rf bin
