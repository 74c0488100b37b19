# SPDX-License-Identifier: Apache-2.0
# Thin words over meson; `make help` lists them. Everything is built below build/, one folder a purpose.
B = build
MESON_ARGS =
DESTDIR =

all: $(B)/main/build.ninja
	ninja -C $(B)/main

help:
	@echo 'make run      install what is needed, build, make a throw-away CA, get a certificate from it, go on serving'
	@echo 'make          build the programs in build/main          (MESON_ARGS="-Dprefix=/usr" for options)'
	@echo 'make test     unit and replay tests'
	@echo 'make e2e      end-to-end tests: real processes, clients that are not ours'
	@echo 'make check    everything that CI runs, on a fresh machine too (half an hour)'
	@echo 'make lint     its static part: format, layers, headers, shell, cppcheck'
	@echo 'make fuzz     every fuzz target for SECONDS=60 each'
	@echo 'make bench    build the load generator and measure         (BENCH_ARGS="--quick": bench/README.md)'
	@echo 'make soak     does anything grow in an hour of work? (SECONDS=3600)'
	@echo 'make format   clang-format over the C files'
	@echo 'make install  to DESTDIR and the prefix of MESON_ARGS'
	@echo 'make deps     install what a build needs (Debian, as root or with sudo)'
	@echo 'make clean    remove build/'

$(B)/main/build.ninja:
	@command -v meson >/dev/null || { echo 'meson is not installed; "make deps" installs what a build needs' >&2; exit 1; }
	meson setup $(B)/main -Dtests=false $(MESON_ARGS)

run:
	@tools/run.sh

check:
	@tools/check.sh

lint:
	@tools/check.sh static

test:
	@tools/check.sh unit

e2e:
	@tools/check.sh e2e

soak: SECONDS = 3600
soak: all
	tests/soak/soak.sh $(B)/main $(SECONDS)

SECONDS = 60
fuzz:
	@test -d $(B)/fuzz || CC=clang meson setup $(B)/fuzz -Dfuzz=true -Dtests=false
	ninja -C $(B)/fuzz
	tools/run-fuzz.sh $(SECONDS) $(B)/fuzz

BENCH_ARGS =
bench: all
	bench/run.sh $(B)/main $(BENCH_ARGS)
	bench/probes.sh $(B)/main 10

format:
	git ls-files 'src/*.[ch]' 'tests/*.[ch]' 'fuzz/*.[ch]' 'bench/*.[ch]' 'include/*.h' | xargs clang-format -i

deps:
	@tools/deps.sh run

install: all
	DESTDIR=$(DESTDIR) meson install -C $(B)/main --no-rebuild

clean:
	rm -rf $(B)

.PHONY: all help run check lint test e2e fuzz bench soak format deps install clean
