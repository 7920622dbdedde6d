# SPDX-License-Identifier: GPL-2.0
#
# A thin front: kbuild reads Kbuild, the folders have makefiles of their own,
# and scripts/ does what needs more than one line.

KDIR ?= /lib/modules/$(shell uname -r)/build
KERNEL ?= stock-6.12

# What was said on this command line is not for the makes inside the scripts.
SCRIPT := env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL

help:
	@echo 'make run         boot a kernel with the module and run kvbm-run in it'
	@echo '                   TRACE=FILE      a trace to replay'
	@echo '                   KERNEL=NAME     stock-6.12, stock-6.1, debug-6.12'
	@echo '                   RUN_ARGS=...    more arguments of kvbm-run'
	@echo 'make check       all tests; closes with "N passed, N failed, N skipped"'
	@echo '                   SUITES=...      only these (scripts/check.sh -l)'
	@echo 'make check-long  the same, longer'
	@echo 'make check-faults'
	@echo '                 known bugs built in one at a time: which test catches which'
	@echo '                   FAULTS=...      only these (scripts/faults.py -l)'
	@echo 'make coverage    which lines and branches the tests run'
	@echo 'make bench       side by side with kvbm-logical (takes cargo and crates.io)'
	@echo '                   BENCH_ARGS=...  e.g. --quick (scripts/bench.sh --help)'
	@echo 'make syzkaller   compile the description for syzkaller (takes Go and its proxy)'
	@echo 'make modules     kvbm.ko for the running kernel, or for KDIR=...'
	@echo 'make lib tools   the library (build/lib) and the programs (build/bin)'
	@echo 'make selftests   the test programs (build/selftests)'
	@echo 'make install     programs, library, headers, manual pages, configuration'
	@echo '                   PREFIX=/usr/local DESTDIR= ...  (scripts/install.sh)'
	@echo 'make uninstall   the same away'
	@echo 'make modules_install, make dkms'
	@echo '                 the module: for one kernel (KDIR=...), or for each'
	@echo 'make deps        install the Debian packages that all of this takes'
	@echo 'make clean       remove what was built'

deps:
	scripts/deps.sh

modules:
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

lib:
	$(MAKE) -C lib

tools: lib
	$(MAKE) -C tools

# The kselftest headers come from a kernel source tree.
selftests: lib
	mkdir -p build/selftests
	vars=$$(scripts/kernel.sh source-6.12) && eval "$$vars" && \
	$(MAKE) -C selftests KSRC="$$KSRC" OUTPUT=$(CURDIR)/build/selftests

run:
	@$(SCRIPT) scripts/run.sh -k $(KERNEL) $(TRACE) -- $(RUN_ARGS)

check:
	@$(SCRIPT) scripts/check.sh $(SUITES)

check-long:
	@$(SCRIPT) scripts/check.sh --long $(SUITES)

check-faults:
	@$(SCRIPT) scripts/faults.py $(FAULTS)

coverage:
	@$(SCRIPT) scripts/coverage.py

bench:
	@$(SCRIPT) scripts/bench.sh $(BENCH_ARGS)

syzkaller:
	@$(SCRIPT) scripts/syzkaller.sh

# --- Installing. What goes where is in scripts/install.sh.

install: tools
	@$(SCRIPT) scripts/install.sh install

uninstall: tools
	@$(SCRIPT) scripts/install.sh uninstall

# In updates/, ahead of what comes with the kernel. kbuild runs depmod only if it
# finds a System.map, which packages of headers do not have.
release = $(shell $(MAKE) -s -C $(KDIR) kernelrelease)

modules_install: modules
	$(MAKE) -C $(KDIR) M=$(CURDIR) INSTALL_MOD_PATH=$(DESTDIR) \
		INSTALL_MOD_DIR=updates modules_install
	[ -n '$(DESTDIR)' ] || depmod -a $(release)

modules_uninstall:
	rm -f $(DESTDIR)/lib/modules/$(release)/updates/kvbm.ko*
	[ -n '$(DESTDIR)' ] || depmod -a $(release)

dkms dkms-remove:
	@$(SCRIPT) scripts/install.sh $@

# kbuild's own clean needs a kernel to be there; its products are known.
clean:
	rm -rf build
	rm -f Module.symvers modules.order *.ko *.mod *.mod.c *.o .*.o .*.cmd
	[ ! -d kmod ] || find kmod \( -name '*.o' -o -name '.*.cmd' \) -delete

.PHONY: help deps modules lib tools selftests run check check-long check-faults coverage bench \
	syzkaller clean install uninstall modules_install modules_uninstall dkms dkms-remove
