#include "isa/x86/decode.h"
void tr_unbuilt(struct x86_tr *t) { (void)t; }
