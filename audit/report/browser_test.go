//go:build browser

package report_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// measure is put into a copy of the page: the page itself has no script.
const measure = `<script>
document.querySelectorAll("details").forEach(d => d.open = true);
const wide = [...document.querySelectorAll("body *")].filter(e => !e.closest("pre") && e.getBoundingClientRect().right > innerWidth + 1);
document.title = "measured " + document.documentElement.scrollWidth + " of " + innerWidth + " beyond " + wide.length + (wide[0] ? " " + wide[0].outerHTML.slice(0, 200) : "");
</script>`

var measured = regexp.MustCompile(`<title>measured (\d+) of (\d+) beyond (\d+)([^<]*)`)

// It leaves the screenshots in VPNGUARD_SHOTS, to be looked at.
func TestThePageFitsABrowser(t *testing.T) {
	dir := os.Getenv("VPNGUARD_SHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	page := written(t, sampled(t).HTML)
	file, copied := filepath.Join(dir, "page.html"), filepath.Join(dir, "measured.html")
	loose := regexp.MustCompile(`<meta http-equiv="Content-Security-Policy"[^>]*>`).ReplaceAllString(page, "")
	for name, text := range map[string]string{file: page, copied: strings.Replace(loose, "</body>", measure+"</body>", 1)} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	browser := func(args ...string) string {
		args = append([]string{"--no-sandbox", "--hide-scrollbars", "--enable-logging=stderr", "--user-data-dir=" + t.TempDir()}, args...)
		cmd := exec.Command("chromium-headless-shell", args...)
		var message strings.Builder
		cmd.Stderr = &message
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, message.String())
		}
		for said := range strings.Lines(message.String()) {
			if strings.Contains(said, ":CONSOLE") {
				t.Errorf("the page complains: %s", said)
			}
		}
		return string(out)
	}
	for _, width := range []int{400, 1600} {
		size := fmt.Sprintf("--window-size=%d,4000", width)
		browser(size, "--screenshot="+filepath.Join(dir, fmt.Sprintf("light-%d.png", width)), "file://"+file)
		browser(size, "--blink-settings=preferredColorScheme=0", "--screenshot="+filepath.Join(dir, fmt.Sprintf("dark-%d.png", width)), "file://"+file)
		got := measured.FindStringSubmatch(browser(size, "--dump-dom", "file://"+copied))
		if got == nil {
			t.Fatal("the page was not measured")
		}
		if got[2] != fmt.Sprint(width) || got[1] != got[2] || got[3] != "0" {
			t.Errorf("at %d pixels the page is %s wide, and %s elements reach beyond: %s", width, got[1], got[3], got[4])
		}
	}
}
