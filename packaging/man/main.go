// Command man makes the manual pages that the packages carry: one for each
// command of `docker stig`, from the command's own help, and one for each page
// written by hand as docs/man/NAME.SECTION.md.
//
// It decides how a page looks; what it says is the business of the commands
// and of docs/man. The same sources at the same SOURCE_DATE_EPOCH give the
// same bytes, compressed as Debian's policy (12.1) wants them: gzip at its
// best, with neither name nor time.
package main

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/docker-stig/docker-stig/cli-plugin/command"
	dockercli "github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

func main() {
	docs := flag.String("docs", "docs/man", "Folder of the pages written by hand")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "Usage: man [-docs FOLDER] FOLDER\n\nMake the manual pages in FOLDER, dated by SOURCE_DATE_EPOCH.")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(1)
	}
	if err := run(*docs, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "man:", err)
		os.Exit(1)
	}
}

func run(docs, out string) error {
	date, err := commitDate(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return err
	}
	root, err := dockerStig()
	if err != nil {
		return err
	}
	pages := commandPages(root, date)
	if err := addWritten(pages, docs, date); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil { //nolint:gosec // G301: pages are for everybody
		return err
	}
	for name, page := range pages {
		if err := writePage(filepath.Join(out, name+".gz"), page); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}

// commitDate is the day of an epoch in seconds, as man(7) wants it.
func commitDate(epoch string) (string, error) {
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return "", fmt.Errorf("SOURCE_DATE_EPOCH is %q: set it to the time of the commit in seconds, so that the pages can be made again", epoch)
	}
	return time.Unix(seconds, 0).UTC().Format(time.DateOnly), nil
}

// dockerStig is the command docker stig below docker, as a person types it.
// Defaults in its help come from the environment, which must not reach a page.
func dockerStig() (*cobra.Command, error) {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "STIG_") {
			if err := os.Unsetenv(name); err != nil {
				return nil, err
			}
		}
	}
	dockerCLI, err := dockercli.NewDockerCli()
	if err != nil {
		return nil, fmt.Errorf("making a docker client for the commands' help: %w", err)
	}
	docker := &cobra.Command{Use: "docker"}
	stig := command.New(dockerCLI, command.Build{})
	docker.AddCommand(stig)
	return stig, nil
}

// addWritten adds the pages written by hand. The file's name is the page's
// name and section; the title line is made here.
func addWritten(pages map[string][]byte, docs, date string) error {
	files, err := filepath.Glob(filepath.Join(docs, "*.md"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("there are no pages in %s: run it in the project's folder, or name theirs with -docs", docs)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		page := strings.TrimSuffix(filepath.Base(file), ".md") // docker-stig-trust.7
		name, section, found := strings.Cut(page, ".")
		if !found || len(section) != 1 {
			return fmt.Errorf("%s: want NAME.SECTION.md, as in docker-stig-trust.7.md", file)
		}
		pages[page] = written(name, section, date, text)
	}
	return nil
}

// written turns a page's Markdown into roff, under a title line.
func written(name, section, date string, text []byte) []byte {
	title := fmt.Sprintf("%% %q %q %q %q %q\n\n", strings.ToUpper(name), section, date, source, manual)
	return tidy(md2man.Render(append([]byte(title), text...)))
}

func writePage(path string, page []byte) error {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(page); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, packed.Bytes(), 0o644) //nolint:gosec // G306: pages are for everybody
}
