# Files of user/ (see Makefile.am): on Linux hosts.
if USER_MODE
libquern_a_SOURCES += user/abi.c user/abi.h user/abi-mips.c user/abi-mips.h user/abi-mips-tables.c user/abi-x86.c user/abi-x86.h \
	user/abi-x86-32.c user/abi-x86-tables.c user/x86-32.def user/x86-64.def \
	user/convert.c user/convert.h user/debug.c user/elf.c user/exec.c user/main.c user/lockstep.c user/lockstep.h user/lockstep-report.c user/mem.c user/path.c \
	user/mips-o32.def user/mips-n32.def user/mips-n64.def user/signal.c user/strace.c user/syscall.c \
	user/syscalls.h user/thread.c user/user.h \
	user/syscall-dir.c user/syscall-event.c user/syscall-file.c user/syscall-ioctl.c user/syscall-ipc.c \
	user/syscall-mem.c user/syscall-net.c user/syscall-proc.c user/syscall-signal.c user/syscall-time.c
endif
