package bundle

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// The bounds of what is read: a hundred times a whole laboratory's evidence.
const (
	maxFiles = 20_000
	maxBytes = 2 << 30
)

// Write writes a bundle as a directory, or as a tar if name ends in ".tar".
// It replaces nothing: what is there already is an error, and after any error
// nothing is there.
func (f Files) Write(name string) error {
	if err := f.write(name); err != nil {
		return fmt.Errorf("write the bundle %q: %w", name, err)
	}
	return nil
}

func (f Files) write(name string) error {
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fs.ErrExist
		}
		return err
	}
	// Beside, so that the rename cannot cross file systems.
	temp, err := os.MkdirTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	made := filepath.Join(temp, "bundle")
	if strings.HasSuffix(name, ".tar") {
		data, err := f.tar()
		if err != nil {
			return err
		}
		if err := os.WriteFile(made, data, 0o644); err != nil {
			return err
		}
		return os.Rename(made, name)
	}
	all, err := f.sealed()
	if err != nil {
		return err
	}
	for file, data := range all {
		to := filepath.Join(made, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, data, 0o644); err != nil {
			return err
		}
	}
	return os.Rename(made, name)
}

// sealed is the files with the manifest.
func (f Files) sealed() (Files, error) {
	m, _, err := f.Manifest()
	if err != nil {
		return nil, err
	}
	all := Files{manifestName: m}
	for name, data := range f {
		if !proper(name) || name == manifestName {
			return nil, fmt.Errorf("%q is no name of a file in a bundle", name)
		}
		all[name] = data
	}
	return all, nil
}

// tar is one sequence of bytes for one bundle: sorted, without owners or times.
func (f Files) tar() ([]byte, error) {
	all, err := f.sealed()
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range names {
		h := tar.Header{Name: name, Mode: 0o644, Size: int64(len(all[name])), Typeflag: tar.TypeReg, Format: tar.FormatPAX}
		if err := w.WriteHeader(&h); err != nil {
			return nil, err
		}
		if _, err := w.Write(all[name]); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Read reads a bundle, directory or tar, and checks that it is what was
// written. The error is [ErrAltered] if not.
func Read(name string) (Files, error) {
	f, err := read(name)
	if err != nil {
		return nil, fmt.Errorf("read the bundle %q: %w", name, err)
	}
	return f, nil
}

func read(name string) (Files, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		f, err := readDir(os.DirFS(name))
		if err != nil {
			return nil, err
		}
		return f, f.open()
	}
	if info.Size() > maxBytes {
		return nil, fmt.Errorf("it is larger than %d bytes", int64(maxBytes))
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return parse(raw)
}

// parse reads an archive, of which headers and padding count, too.
func parse(raw []byte) (Files, error) {
	f, err := readTar(raw)
	if err != nil {
		return nil, err
	}
	if err := f.open(); err != nil {
		return nil, err
	}
	if again, err := f.tar(); err != nil || !bytes.Equal(again, raw) {
		return nil, fmt.Errorf("its archive is not as it was written: %w", ErrAltered)
	}
	return f, nil
}

// open takes the manifest out and checks it.
func (f Files) open() error {
	m, ok := f[manifestName]
	if !ok {
		return fmt.Errorf("it has no %q: %w", manifestName, ErrAltered)
	}
	delete(f, manifestName)
	return f.check(m)
}

func readDir(dir fs.FS) (Files, error) {
	f, left := Files{}, int64(maxBytes)
	err := fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%q is no regular file: %w", name, ErrAltered)
		}
		if left -= info.Size(); left < 0 || len(f) == maxFiles {
			return fmt.Errorf("it has more than %d bytes or %d files", int64(maxBytes), maxFiles)
		}
		f[name], err = fs.ReadFile(dir, name)
		return err
	})
	return f, err
}

func readTar(raw []byte) (Files, error) {
	f, r := Files{}, tar.NewReader(bytes.NewReader(raw))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", err, ErrAltered)
		}
		if h.Typeflag != tar.TypeReg || !proper(h.Name) || len(f) == maxFiles || f[h.Name] != nil {
			return nil, fmt.Errorf("%q has no place in it: %w", h.Name, ErrAltered)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", err, ErrAltered)
		}
		f[h.Name] = data
	}
}

// proper is true of names that stay within a bundle.
func proper(name string) bool {
	return fs.ValidPath(name) && name != "." && path.Clean(name) == name && !strings.ContainsAny(name, "\\\x00")
}
