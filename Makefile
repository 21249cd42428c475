# docker-stig: `make help` lists what can be made here.

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help build test test-engine lint fmt golden deps man packages install clean ci demo bench fuzz

GO      ?= go
BIN     := bin
DIST    := dist
ARCH     = $(shell $(GO) env GOARCH)# of the packages: amd64, arm64, ...
DESTDIR ?=

# For each fuzz function: a number of inputs, or a time such as 10s, at whose
# end Go before 1.27 may report "context deadline exceeded" although nothing
# was found (https://go.dev/issue/75804).
FUZZTIME ?= 20000x

# VERSION is semver: the tag, and behind it how far the checkout has moved on.
# A tree without a tag is on its way to the first release.
NEXT    := 0.1.0
VERSION  = $(or $(shell git describe --tags --match 'v[0-9]*' --dirty=.dirty 2>/dev/null | \
             sed -E 's/^v//; s/-([0-9]+)-g([0-9a-f]+)/+\1.g\2/; s/^([^+]*)\.dirty$$/\1+dirty/'),$(UNTAGGED))
UNTAGGED = $(NEXT)-dev$(shell git describe --always --dirty=.dirty 2>/dev/null | sed 's/^/+g/')
COMMIT   = $(or $(shell git rev-parse --verify --quiet HEAD 2>/dev/null),unknown)

# Programs and the files in packages carry the time of the commit, so that the
# same commit gives the same bytes.
export SOURCE_DATE_EPOCH ?= $(or $(shell git log -1 --format=%ct 2>/dev/null),0)

LDFLAGS  = -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)
DATE     = $(shell date -u -d @$(SOURCE_DATE_EPOCH) +%Y-%m-%d)

# Whole programs, on a real engine. They share the machine's ports, mounts and
# cores, so their packages run one after another; and they look at what the go
# command's cache of results does not see, so they always run.
ENGINE_TESTS := ./tests/...
WHOLE        := -p 1 -count=1 -timeout 30m
UNIT_TESTS    = $$($(GO) list ./... | grep -v '/tests/')

# The newest engine, whose routes the plugin's table is compared with: the
# version that mobyRouters in authz-plugin/engineapi names.
MOBY := github.com/moby/moby/v2@v2.0.0-beta.24

# Tests that the race detector would make last a minute skip themselves under
# it, and run once more without.
UNRACED := ^(TestManyDelegationsTakeNoSquareOfTime|TestOneRepositoryTakesNoOthersRoom)$$

# The race detector needs a C compiler.
RACE = $(if $(shell command -v $${CC:-gcc} 2>/dev/null),-race)

GOLANGCI_VERSION := 2.5.0
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/docker-stig/bin
GOLANGCI := $(TOOLS)/golangci-lint

AS_ROOT := $(if $(filter 0,$(shell id -u)),yes)
SUDO    := $(if $(AS_ROOT),,sudo)

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build bin/docker-stig and bin/docker-stig-authz: static, with version and commit
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/docker-stig ./cli-plugin/cmd/docker-stig
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/docker-stig-authz ./authz-plugin/cmd/docker-stig-authz

test: $(if $(AS_ROOT),deps) ## Run every test; as root it installs what they need and includes the real engine's
	@$(GO) mod download $(MOBY) || echo "make test: without moby's sources; the table of routes is not compared with them"
	$(GO) vet ./...
	@$(if $(RACE),,echo "make test: no C compiler, so without the race detector")
	$(GO) test $(RACE) $(UNIT_TESTS)
	$(if $(RACE),$(GO) test -run '$(UNRACED)' ./shared/trust/notary ./shared/trust/policy)
	$(GO) test $(WHOLE) $(ENGINE_TESTS)

test-engine: ## Run the tests of the real engine alone, and fail where they cannot run
	STIG_REQUIRE_ENGINE=1 $(GO) test $(WHOLE) $(ENGINE_TESTS)

lint: $(GOLANGCI) ## Check formatting, go vet and golangci-lint
	$(GOLANGCI) fmt --diff
	$(GO) vet ./...
	$(GOLANGCI) run

fmt: $(GOLANGCI) ## Format the code with gofumpt
	$(GOLANGCI) fmt

golden: ## Write the golden files anew; read the diff before you commit it
	STIG_UPDATE_GOLDEN=1 $(GO) test $(UNIT_TESTS)
	STIG_UPDATE_GOLDEN=1 $(GO) test $(WHOLE) $(ENGINE_TESTS)

deps: ## Install the Debian packages that the tests need, and the lists that vouch for them, if missing
	@command -v apt-get >/dev/null && command -v dpkg-query >/dev/null || { \
		echo "make deps: this is no Debian system; install the counterparts of these yourself:" >&2; \
		sed 's/#.*//; /^[[:space:]]*$$/d; s/^/  /' tests/testbed/packages.txt >&2; exit 1; }
	@missing=; \
	for package in $$(sed 's/#.*//' tests/testbed/packages.txt); do \
		status=$$(dpkg-query -W -f '$${db:Status-Status}' "$$package" 2>/dev/null || true); \
		[ "$$status" = installed ] || missing="$$missing $$package"; \
	done; \
	command -v npm >/dev/null || missing="$$missing nodejs npm"; \
	if [ -z "$$missing" ]; then \
		ls /var/lib/apt/lists/*InRelease >/dev/null 2>&1 || $(SUDO) apt-get update -qq; \
		exit 0; \
	fi; \
	echo "make deps: installing$$missing"; \
	$(SUDO) apt-get update -qq; \
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
		-o DPkg::Lock::Timeout=300 $$missing

man: ## Write the manual pages into dist/man
	rm -rf $(DIST)/man
	GOOS= GOARCH= $(GO) run ./packaging/man $(DIST)/man

packages: man ## Build the deb and rpm packages into dist/
	rm -f $(DIST)/*.deb $(DIST)/*.rpm
	$(MAKE) build BIN=$(DIST)/linux-$(ARCH) GOOS=linux GOARCH=$(ARCH)
	@for config in packaging/nfpm/*.yaml; do for format in deb rpm; do \
		VERSION='$(VERSION)' ARCH='$(ARCH)' BUILT='$(DIST)/linux-$(ARCH)' MAN='$(DIST)/man' \
			GOOS= GOARCH= $(GO) tool nfpm package --config "$$config" --packager $$format --target $(DIST)/; \
	done; done

install: build ## Install the CLI plugin: for every user when root, else for you alone (DESTDIR is honoured)
	@plugins='$(if $(AS_ROOT),/usr/local/lib/docker/cli-plugins,$(HOME)/.docker/cli-plugins)'; \
	install -D -m 0755 $(BIN)/docker-stig "$(DESTDIR)$$plugins/docker-stig"; \
	echo "installed $(DESTDIR)$$plugins/docker-stig: try docker stig version"
	@$(if $(AS_ROOT),,echo "only you have it: sudo docker does not look there; sudo make install serves everybody")

clean: ## Remove what was built here
	rm -rf $(BIN) $(DIST)

ci: ## Run all that must pass before a change lands
	.ci/run

demo: deps build ## Tell the whole story on a real engine, registry and Notary server
	tests/demo/demo.sh

bench: ## Run the benchmarks, as root those on real engines too, and print what was reached
	$(GO) test -run '^$$' -bench . -benchmem -timeout 60m ./... | $(GO) run ./tests/bench/table

fuzz: ## Run each fuzz function for FUZZTIME
	@$(GO) test -list '^Fuzz' ./... | awk '/^Fuzz/ { names[n++] = $$1 } \
		/^ok/ { for (i = 0; i < n; i++) print $$2, names[i]; n = 0 }' | \
	while read -r package name; do \
		echo "$$package $$name"; \
		$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$package" </dev/null; \
	done

# golangci-lint is built once, with this machine's Go, so that it can read the
# module's language version; a released binary may be older than that.
.PHONY: $(GOLANGCI)
$(GOLANGCI):
	@[ "$$($@ version --short 2>/dev/null)" = $(GOLANGCI_VERSION) ] || { \
		echo "make lint: building golangci-lint $(GOLANGCI_VERSION), once; this takes minutes"; \
		GOBIN=$(TOOLS) GOFLAGS= $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$(GOLANGCI_VERSION); \
	}
