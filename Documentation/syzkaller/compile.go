// SPDX-License-Identifier: GPL-2.0

// Compile dev_kvbm.txt with syzkaller's own compiler, among its descriptions of
// Linux, for every architecture that it knows. scripts/syzkaller.sh runs this.
//
// usage: compile SYZKALLER DIR-OF-HEADERS DESCRIPTION
package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/syzkaller/pkg/ast"
	"github.com/google/syzkaller/pkg/compiler"
	"github.com/google/syzkaller/sys/targets"
)

var bad bool

func complain(pos ast.Pos, msg string) {
	bad = true
	fmt.Fprintf(os.Stderr, "%v: %v\n", pos, msg)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// constants asks a C compiler for the values. As where a kernel is installed, what
// is in uapi/linux/ is in linux/.
func constants(info *compiler.ConstInfo, headers string) map[string]uint64 {
	var c strings.Builder
	fmt.Fprintln(&c, "#include <stdio.h>\n#include <asm/unistd.h>")
	for _, file := range info.Includes {
		fmt.Fprintf(&c, "#include <%v>\n", strings.TrimPrefix(file, "uapi/"))
	}
	fmt.Fprintln(&c, "int main(void) {")
	for _, k := range info.Consts {
		fmt.Fprintf(&c, "printf(\"%%llu\\n\", (unsigned long long)%v);\n", k.Name)
	}
	fmt.Fprintln(&c, "}")

	dir, err := os.MkdirTemp("", "syzkaller")
	check(err)
	cc := exec.Command("cc", "-I"+headers, "-xc", "-", "-o", dir+"/values")
	cc.Stdin, cc.Stderr = strings.NewReader(c.String()), os.Stderr
	var out []byte
	if err = cc.Run(); err == nil {
		out, err = exec.Command(dir + "/values").Output()
	}
	os.RemoveAll(dir)
	check(err)

	values := make(map[string]uint64)
	lines := bytes.NewReader(out)
	for _, k := range info.Consts {
		var v uint64
		_, err = fmt.Fscan(lines, &v)
		check(err)
		values[k.Name] = v
	}
	return values
}

func main() {
	if len(os.Args) != 4 {
		check(fmt.Errorf("usage: compile SYZKALLER DIR-OF-HEADERS DESCRIPTION"))
	}
	linux, headers, file := filepath.Join(os.Args[1], "sys/linux"), os.Args[2], os.Args[3]
	text, err := os.ReadFile(file)
	check(err)
	mine := ast.Parse(text, file, complain)
	all := ast.ParseGlob(filepath.Join(linux, "*.txt"), complain)
	known := compiler.DeserializeConstFile(filepath.Join(linux, "*.const"), complain)
	if mine == nil || all == nil || known == nil {
		os.Exit(1)
	}
	if !bytes.Equal(ast.Format(mine), text) {
		complain(ast.Pos{File: file}, "syz-fmt would change it")
	}
	all.Nodes = append(all.Nodes, mine.Nodes...)

	for _, arch := range slices.Sorted(maps.Keys(targets.List[targets.Linux])) {
		target := targets.List[targets.Linux][arch]
		infos := compiler.ExtractConsts(all, target, complain)
		if infos == nil {
			break
		}
		// What depends on the architecture, syzkaller knows already.
		consts := constants(infos[file], headers)
		maps.Copy(consts, known.Arch(arch))
		var others []string
		prog := compiler.Compile(all, consts, target, func(pos ast.Pos, msg string) {
			if pos.File == file {
				complain(pos, msg+" ("+arch+")")
			} else {
				others = append(others, fmt.Sprintf("%v: %v", pos, msg))
			}
		})
		// Warnings about other files are not ours; an error may be.
		if prog == nil {
			complain(ast.Pos{File: file}, arch+": not compiled\n"+strings.Join(others, "\n"))
		}
	}
	if bad {
		os.Exit(1)
	}
}
