# SPDX-License-Identifier: BSD-2-Clause
#
# A thin front door: everything real is in meson.build and tools/. Each target first installs the
# Debian packages it needs and that are missing (tools/deps). DEPS=no leaves that out.
#
#   make            build into build/
#   make demo       make a sample video, serve it on a TAP, say where to watch (PORT=80 NET=10.77.0);
#                   over HTTPS as well with TLS=443
#   make check      build and run every test; STAGES="unit style" runs only these
#   make sim        simulate: SEEDS=1:20000 is a night's run
#   make snapshot   compute the table of throughputs again, if a change of it is wanted
#   make bench      measure us beside our peers
#   make module     build diskmap.ko for this kernel, or for the one that KERNEL_HEADERS= names
#   make install    install under prefix (/usr/local), below DESTDIR if that is set
#   make format     clang-format over the C files
#   make clean      remove what was built

prefix = /usr/local
PORT = 80
TLS =
NET = 10.77.0
DEPS = yes
STAGES =
SEEDS = 1:20000
KERNEL_HEADERS =

deps = $(if $(filter no,$(DEPS)),true,tools/deps)

all: build

build:
	@$(deps) build
	@$(MAKE) --no-print-directory compile

# Apart from `build`, so that tools/check can build without asking for packages again.
compile: build/build.ninja
	@ninja -C build

build/build.ninja:
	@meson setup build -Doptimization=3 -Dprefix=$(prefix)

demo:
	@$(deps) demo
	@$(MAKE) --no-print-directory compile
	@tools/demo --port $(PORT) $(if $(TLS),--tls $(TLS)) --net $(NET)

check:
	@$(deps) check
	@$(if $(filter no,$(DEPS)),true,tools/fetch-player || true) # without it, that test is skipped
	@$(if $(filter no,$(DEPS)),true,tools/fetch-kernel || true) # and without it, those in a guest
	@tools/check $(STAGES)

sim:
	@$(deps) build
	@$(MAKE) --no-print-directory compile
	@build/test/sim/sim_tcp --seeds $(SEEDS)
	@build/test/sim/sim_atlas --seeds $(SEEDS)
	@build/test/sim/sim_nvme --seeds $(SEEDS)

# Written in one piece: a run that breaks leaves the old table.
snapshot:
	@$(deps) build
	@$(MAKE) --no-print-directory compile
	@build/test/sim/sim_table >build/throughput.txt
	@cp build/throughput.txt test/sim/throughput.txt
	@git diff --stat test/sim/throughput.txt

bench:
	@$(deps) bench
	@$(MAKE) --no-print-directory compile
	@bench/run
	@bench/wan

# Where this kernel's headers are not installed, Debian's are fetched and used.
module:
	@$(deps) module
	@[ -n "$(KERNEL_HEADERS)" ] || [ -e "/lib/modules/$$(uname -r)/build" ] || tools/fetch-kernel
	@tools/build-module $(KERNEL_HEADERS)

install: build
	@meson configure build -Dprefix=$(prefix)
	@meson install -C build

format:
	@$(deps) style
	@find lib apps test fuzz kernel -name '*.[ch]' -exec clang-format-14 -i {} +

clean:
	rm -rf build build-asan demo/out demo/node_modules

.PHONY: all build compile demo check sim snapshot bench module install format clean
