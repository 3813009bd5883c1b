package guardian

import (
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// watched are the files that the guardian follows: the sysctls of every
// interface and the resolver configuration. A write by another mount of /proc,
// as containers have, is not told; the sweep finds it.
type watched struct {
	files *fsnotify.Watcher
	log   *slog.Logger
	have  map[string]bool

	resolver string // what the resolver file is a link to; itself, if to nothing
}

const (
	confDir      = "/proc/sys/net"
	resolverFile = "/etc/resolv.conf"
)

func newWatched(files *fsnotify.Watcher, log *slog.Logger) *watched {
	w := &watched{files: files, log: log, have: map[string]bool{}, resolver: resolverFile}
	if target, err := filepath.EvalSymlinks(resolverFile); err == nil {
		w.resolver = target
	}
	// The directories: the file is replaced rather than written.
	for _, dir := range []string{filepath.Dir(resolverFile), filepath.Dir(w.resolver)} {
		if err := files.Add(dir); err != nil {
			log.Warn("cannot follow the resolver configuration", "directory", dir, "error", err)
		}
	}
	return w
}

// follow watches the sysctls of these interfaces. What vanished ends by itself.
func (w *watched) follow(interfaces []string) {
	now := map[string]bool{}
	for _, name := range append(interfaces, "all") {
		for _, family := range []string{"ipv4", "ipv6"} {
			dir := filepath.Join(confDir, family, "conf", name)
			now[dir] = true
			if w.have[dir] {
				continue
			}
			if err := w.files.Add(dir); err != nil {
				delete(now, dir)
			}
		}
	}
	for dir := range w.have {
		if !now[dir] {
			_ = w.files.Remove(dir)
		}
	}
	w.have = now
}

func (w *watched) isResolver(e fsnotify.Event) bool {
	return (e.Name == resolverFile || e.Name == w.resolver) && !e.Has(fsnotify.Chmod)
}

func (w *watched) isKnob(e fsnotify.Event) bool {
	return strings.HasPrefix(e.Name, confDir) && e.Has(fsnotify.Write)
}
