package state

import (
	"errors"
	"os"
	"strings"
)

const bootIDPath = "/proc/sys/kernel/random/boot_id"

func (s *Store) bootID() (string, error) {
	if s.BootID != nil {
		return s.BootID()
	}
	data, err := os.ReadFile(bootIDPath)
	if err != nil {
		return "", opErr("read", bootIDPath, err)
	}
	id := strings.TrimSpace(string(data))
	if id == "" {
		// An empty id would make every boot the same one.
		return "", opErr("read", bootIDPath, errors.New("empty"))
	}
	return id, nil
}
