# Files of tools/ (see Makefile.am).
bin_PROGRAMS += quern
quern_SOURCES = tools/quern.c tools/system.h tools/system.c tools/system-opts.h tools/system-opts.c tools/system-drives.c tools/system-boot.c tools/shared.c tools/shared.h \
	tools/options.c tools/options.def tools/help.c
quern_LDADD = libquern.a

# The names by which the program is called, as links beside it.
QUERN_SYSTEM_TARGETS = mips mipsel mips64 mips64el i386 x86_64
QUERN_USER_TARGETS = mips mipsel mips64 mips64el mipsn32 mipsn32el i386 x86_64
QUERN_LINKS = $(addprefix quern-system-,$(QUERN_SYSTEM_TARGETS))
if USER_MODE
QUERN_LINKS += $(addprefix quern-,$(QUERN_USER_TARGETS))
endif

all-local: links-stamp
links-stamp: quern$(EXEEXT)
	$(AM_V_GEN)for l in $(QUERN_LINKS); do ln -sf quern$(EXEEXT) $$l$(EXEEXT) || exit 1; done; touch $@
CLEANFILES += links-stamp $(QUERN_LINKS)
install-exec-hook:
	cd '$(DESTDIR)$(bindir)' && for l in $(QUERN_LINKS); do ln -sf quern$(EXEEXT) $$l$(EXEEXT) || exit 1; done
uninstall-hook:
	cd '$(DESTDIR)$(bindir)' && rm -f $(QUERN_LINKS)

# The manual page is committed; `make man` brings it up to date, tests/test-cli.sh says when it is not.
dist_man_MANS += man/quern.1 man/quern-img.1 man/quern-io.1 man/quern-nbd.1
.PHONY: man
man: quern$(EXEEXT) quern-img$(EXEEXT) quern-io$(EXEEXT) quern-nbd$(EXEEXT)
	./quern --man >'$(srcdir)/man/quern.1'
	./quern-img --man >'$(srcdir)/man/quern-img.1'
	./quern-io --man >'$(srcdir)/man/quern-io.1'
	./quern-nbd --man >'$(srcdir)/man/quern-nbd.1'

# The tools for disk images.
bin_PROGRAMS += quern-img quern-io quern-nbd
quern_img_SOURCES = tools/quern-img.c tools/img.h tools/img-commands.def tools/img-common.c tools/shared.c tools/shared.h tools/img-create.c \
	tools/img-info.c tools/img-convert.c tools/img-query.c tools/img-change.c tools/img-rebase.c tools/img-bench.c
quern_img_LDADD = libquern.a
quern_io_SOURCES = tools/quern-io.c tools/io.h tools/io-commands.def tools/io-rw.c tools/io-aio.c tools/io-file.c tools/shared.c tools/shared.h
quern_io_LDADD = libquern.a
quern_nbd_SOURCES = tools/quern-nbd.c tools/nbd.h tools/nbd-options.def tools/nbd-list.c tools/nbd-device.c tools/nbd-image.c \
	tools/shared.c tools/shared.h
quern_nbd_LDADD = libquern.a
