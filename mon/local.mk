# Files of mon/ (see Makefile.am).
libquern_a_SOURCES += mon/screen.c mon/monitor.h mon/internal.h mon/commands.def mon/monitor.c mon/commands.c mon/memory.c \
	mon/info.c mon/media.c mon/input.c mon/readline.h mon/readline.c mon/expr.h mon/expr.c
libquern_a_SOURCES += mon/gdb.h mon/gdb.c mon/gdb-system.c mon/gdb-user.c
