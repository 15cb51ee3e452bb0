# The engine.
libquern_a_SOURCES += interp/ops.def interp/ir.h interp/ir.c interp/ir-dump.c interp/expr.h interp/eval.h interp/eval.c \
	interp/cpu.h interp/engine.h interp/block.h interp/engine.c interp/cache.c interp/mem.c interp/tlb.c interp/fp.c interp/ref.c \
	interp/opt.c interp/xops.def interp/fuse.def interp/xcode.h interp/xcode.c interp/fpx.h interp/fast-body.h interp/fast-values.h \
	interp/fast-goto-user.c interp/fast-goto-sys.c interp/fast-switch.c \
	interp/jit.h interp/tier.h interp/tier.c interp/region.c interp/codemem.c interp/jit-null.c interp/jit-gdb.c interp/accel.h interp/accel.c
	interp/jit.h interp/tier.h interp/tier.c interp/region.c interp/codemem.c interp/jit-null.c interp/accel.h interp/accel.c
	interp/fast-goto-user.c interp/fast-goto-sys.c interp/fast-switch.c
libquern_a_SOURCES += interp/vec.c
libquern_a_SOURCES += interp/explain.c
libquern_a_SOURCES += interp/lockstep.c interp/lockstep.h
