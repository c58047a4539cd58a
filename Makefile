# `make demo` runs a command as a systemd unit; `make test` tests. Where systemd does
# not run, both boot a private one in a container (needs root): see tests/sandbox/run.

CARGO ?= cargo
SANDBOX = tests/sandbox

export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

help:
	@echo 'make demo    run a command as a transient unit'
	@echo 'make test    test everything on this systemd version'
	@echo 'make matrix  the integration tests on systemd 252, 257 and 262'
	@echo 'make vm      the tests of limits and accounting, in whole machines (qemu)'
	@echo 'make asan    the tests under AddressSanitizer'
	@echo 'make bench   measure against a minimal C client, systemd-run and others (BENCH=PROGRAM for one part)'
	@echo 'make soak    ten minutes of random load and faults (SECONDS=N, SEED=N)'
	@echo 'make fuzz    ten million inputs for each fuzz target (make fuzz-short: 20 s each)'
	@echo 'make check   format, lints, documentation'
	@echo 'make deny    licences, sources and advisories of the dependencies'
	@echo 'make package both crates as they are published, built from the packages'
	@echo 'make setup   install what building and testing needs'
	@echo 'make clean   remove what was built'

# On this machine's own systemd if it runs: a demo unit does it no harm.
demo:
	@$(SANDBOX)/setup demo
	$(CARGO) build --locked --example sdrun
	SDRUN_HOST=1 $(CARGO) run --quiet --locked --example sdrun -- --wait --pipe --collect /bin/uname -a

test:
	@$(SANDBOX)/setup test
	$(SANDBOX)/selftest
	tests/parallel --workspace --locked
	$(CARGO) test --workspace --locked --doc
	tests/valgrind
	tests/valgrind --helgrind
	tests/instructions
	tests/loom/run
	# The same sources for the oldest libsystemd: what that lacks is an error, not a link failure.
	SDRUN_LIBSYSTEMD_VERSION=246 $(CARGO) test --locked --target-dir target/oldest --test machines

matrix:
	@$(SANDBOX)/setup matrix
	$(SANDBOX)/matrix

soak:
	@$(SANDBOX)/setup test
	SOAK_SECONDS=$(or $(SECONDS),600) $(CARGO) test --locked --test soak

# Not part of `test`: minutes of an emulated machine, each.
vm:
	@$(SANDBOX)/setup vm
	tests/vm/run

# Not part of `test`: everything is built and run once more.
asan:
	@$(SANDBOX)/setup test
	tests/asan

fuzz:
	tests/fuzz/run property message machine

fuzz-short:
	@$(SANDBOX)/setup fuzz
	tests/fuzz/run --short

bench:
	@$(SANDBOX)/setup bench
	$(CARGO) build --release --locked --example sdrun
	@CARGO='$(CARGO)' benches/peers/build
	@CARGO='$(CARGO)' benches/run $(BENCH)

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --locked --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --locked --no-deps
	# One version of each dependency. (The same one with other features, for the build, is listed too.)
	@twice=$$($(CARGO) tree --workspace --locked --duplicates --depth 0 --prefix none --format '{p}' \
	    | awk '{ print $$1, $$2 }' | sort -u | cut -d ' ' -f 1 | uniq -d); \
	    [ -z "$$twice" ] || { echo "more than one version of: $$twice" >&2; exit 1; }

deny:
	tests/deny

package:
	$(CARGO) package --workspace --locked

setup:
	@$(SANDBOX)/setup matrix

clean:
	$(CARGO) clean

.PHONY: help demo test matrix vm asan soak fuzz fuzz-short bench check deny package setup clean
