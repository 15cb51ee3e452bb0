# The in-house code generator, on hosts that it can generate for.
jit_native_common = jit-native/native.h jit-native/native.c jit-native/alloc.c jit-native/facts.c \
	jit-native/emit.h jit-native/emit.c jit-native/lower.h jit-native/lower.c jit-native/lower-control.c
if JIT_X64
libquern_a_SOURCES += $(jit_native_common) \
	jit-native/x64.h jit-native/x64-emit.h jit-native/x64-emit.c jit-native/x64-operand.c \
	jit-native/x64-int.c jit-native/x64-bits.c jit-native/x64-mem.c jit-native/x64-fp.c jit-native/x64-vec.c jit-native/x64-control.c jit-native/x64-host.c
endif
if JIT_A64
libquern_a_SOURCES += $(jit_native_common) \
	jit-native/a64.h jit-native/a64-emit.h jit-native/a64-emit.c jit-native/a64-operand.c \
	jit-native/a64-int.c jit-native/a64-bits.c jit-native/a64-mem.c jit-native/a64-fp.c jit-native/a64-control.c jit-native/a64-host.c
endif
