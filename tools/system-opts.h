/*
 * system-opts.h - the handlers that options.def names.
 */
#ifndef TOOLS_SYSTEM_OPTS_H
#define TOOLS_SYSTEM_OPTS_H

#include "tools/system.h"

#define HANDLERS(X)                                                                                \
    X(help) X(version) X(machine) X(cpu) X(accel) X(smp) X(global) X(m) X(device) X(name) X(uuid)  \
    X(fda) X(fdb) X(hda) X(hdb) X(hdc) X(hdd) X(cdrom) X(drive) X(pflash) X(snapshot) X(display) X(nographic)    \
    X(vga) X(vnc) X(nic) X(chardev) X(serial) X(parallel) X(monitor) X(mon) X(echr) X(kernel)      \
    X(append) X(initrd) X(bios) X(L) X(S) X(no_reboot) X(no_shutdown) X(singlestep) X(tb_size)     \
    X(icount) X(rtc) X(localtime) X(startdate) X(seed) X(pidfile) X(daemonize) X(nodefaults)       \
    X(gdb) X(s) X(d) X(D) X(dfilter) X(lockstep) X(blockdev) X(object) X(ide_device) X(floppy_device) \
    X(boot) X(option_rom) X(fw_cfg) X(acpitable) X(smbios) X(no_acpi) X(no_hpet) X(no_fd_bootchk) X(debugcon)
#define X(name) int opt_##name(struct sysopts *, const char *arg, struct error *);
HANDLERS(X)
#undef X

#endif
