#include "interp/block.h"
void ir_optimise(struct ir_block *b, const struct guest *g) { (void)b, (void)g; }
void xcode_lower(struct engine *e, struct cpu *c, struct blk *b, const struct ir_block *ir, struct arena *a) { (void)e, (void)c, (void)b, (void)ir, (void)a; }
enum xexit fast_run_goto_user(struct cpu *c, struct blk *b) { (void)c, (void)b; return X_BUDGET; }
enum xexit fast_run_goto_sys(struct cpu *c, struct blk *b) { (void)c, (void)b; return X_BUDGET; }
enum xexit fast_run_switch_user(struct cpu *c, struct blk *b) { (void)c, (void)b; return X_BUDGET; }
enum xexit fast_run_switch_sys(struct cpu *c, struct blk *b) { (void)c, (void)b; return X_BUDGET; }
