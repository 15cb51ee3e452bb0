/*
 * info.c - the monitor's `info` commands.
 */
#include "mon/internal.h"

#include "interp/jit.h"

void mon_info_version(struct monitor *m, const struct mon_args *a) { mon_printf(m, "%s\n", PACKAGE_VERSION); }

void mon_info_status(struct monitor *m, const struct mon_args *a)
{
    const char *s = "running";

    switch (m->env->machine->state) {
    case MACHINE_PRELAUNCH: s = "paused (prelaunch)"; break;
    case MACHINE_RUNNING: break;
    case MACHINE_PAUSED: s = "paused"; break;
    case MACHINE_SHUTDOWN: s = "paused (shutdown)"; break;
    case MACHINE_DEBUGGED: s = "paused (debug)"; break;
    }
    mon_printf(m, "VM status: %s%s\n", s, m->env->machine->cfg.engine.max_block == 1 ? " (single step mode)" : "");
}

void mon_info_registers(struct monitor *m, const struct mon_args *a)
{
    const struct machine *mc = m->env->machine;

    if (!mon_num(a, "cpustate_all")) {
        mc->cfg.isa->dump(m->cpu, mon_put_line, m, true);
        return;
    }
    for (unsigned i = 0; i < mc->n_cpus; i++) {
        mon_printf(m, "%sCPU#%u\n", i ? "\n" : "", i);
        mc->cfg.isa->dump(mc->cpu[i], mon_put_line, m, true);
    }
}

void mon_info_cpus(struct monitor *m, const struct mon_args *a)
{
    const struct machine *mc = m->env->machine;

    for (unsigned i = 0; i < mc->n_cpus; i++) {
        struct cpu *c = mc->cpu[i];
        mon_printf(m, "%c CPU #%u: pc=0x%0*llx%s\n", c == m->cpu ? '*' : ' ', i, c->guest->addr_type == T_I64 ? 16 : 8,
                   (unsigned long long)cpu_get_slot(c, c->guest->pc_slot), c->halted ? " (halted)" : "");
    }
}

void mon_info_mtree(struct monitor *m, const struct mon_args *a)
{
    struct machine_bus *mb = m->env->machine->mb;
    bool flat = mon_num(a, "flatview");

    if (mon_num(a, "dispatch_tree")) {
        mon_printf(m, "Error: there is no dispatch tree: lookups search the flat view (-f)\n");
        return;
    }
    as_dump(mb->mem, flat, mon_put_line, m);
    if (mb->io) {
        mon_printf(m, "\n");
        as_dump(mb->io, flat, mon_put_line, m);
    }
}

void mon_info_qtree(struct monitor *m, const struct mon_args *a) { mb_dump(m->env->machine->mb, mon_put_line, m); }

void mon_info_pci(struct monitor *m, const struct mon_args *a)
{
    if (!machine_dump_pci(m->env->machine, mon_put_line, m)) mon_printf(m, "Error: this machine has no PCI bus\n");
}

/* ---- interrupt controllers ---- */

static bool is_named(const struct device *d, const char *name) { return !strcmp(d->desc->name, name); }

/* Of the machine's controllers, the last one made first; those of processors have a command of their own. */
static unsigned dump_controllers(struct monitor *m, const char *name)
{
    struct device *found[16];
    unsigned n = 0;

    for (struct device *d = m->env->machine->mb->first; d && n < ARRAY_LEN(found); d = d->next) {
        if (d->desc->dump && !is_named(d, "apic") && (!name || is_named(d, name))) found[n++] = d;
    }
    for (unsigned i = n; i--;) found[i]->desc->dump(found[i], mon_put_line, m);
    return n;
}

void mon_info_pic(struct monitor *m, const struct mon_args *a)
{
    if (!dump_controllers(m, NULL)) mon_printf(m, "Error: this machine has no interrupt controller to show\n");
}

void mon_info_ioapic(struct monitor *m, const struct mon_args *a)
{
    if (!dump_controllers(m, "ioapic")) mon_printf(m, "Error: this machine has no I/O APIC\n");
}

/* The property "id" of a local APIC. */
static uint32_t apic_id(const struct device *d)
{
    uint32_t v = 0;

    for (const struct prop_desc *p = d->desc->props; p->name; p++) {
        if (!strcmp(p->name, "id") && p->kind == PROP_U32) memcpy(&v, (const char *)d + p->offset, sizeof v);
    }
    return v;
}

void mon_info_lapic(struct monitor *m, const struct mon_args *a)
{
    int n = 0;
    bool any = false;

    for (struct device *d = m->env->machine->mb->first; d; d = d->next) {
        if (!is_named(d, "apic")) continue;
        any = true;
        if (mon_arg(a, "apic-id") ? apic_id(d) == mon_num(a, "apic-id") : n == m->cpu->index) {
            mon_printf(m, "dumping local APIC state for CPU %d \n\n", n);
            d->desc->dump(d, mon_put_line, m);
            return;
        }
        n++;
    }
    mon_printf(m, any ? "No CPU available\n" : "Error: this machine has no local APIC\n");
}

void mon_info_irq(struct monitor *m, const struct mon_args *a)
{
    for (struct device *d = m->env->machine->mb->first; d; d = d->next) {
        bool any = false;
        for (unsigned i = 0; d->desc->count && i < d->desc->n_inputs; i++) {
            uint64_t v = d->desc->count(d, i);
            if (v && !any) mon_printf(m, "IRQ statistics for %s:\n", d->desc->name);
            if (v) mon_printf(m, "%2u: %llu\n", i, (unsigned long long)v);
            any |= v != 0;
        }
    }
}

void mon_info_jit(struct monitor *m, const struct mon_args *a)
{
    const struct engine_config *c = engine_get_config(m->env->machine->engine);
    struct engine_stats s;

    engine_get_stats(m->env->machine->engine, &s);
    if (c->backend) mon_printf(m, "accelerator         jit,backend=%s\n", c->backend->name);
    mon_printf(m, "engine              interp,mode=%s,dispatch=%s,fp=%s\n", c->mode == ENGINE_REF ? "ref" : "fast",
               c->portable_switch ? "switch" : "goto", c->soft_fp || c->mode == ENGINE_REF ? "soft" : "host");
    mon_printf(m, "blocks              %llu\n", (unsigned long long)s.blocks);
    mon_printf(m, "block bytes         %llu\n", (unsigned long long)s.block_bytes);
    mon_printf(m, "guest instructions  %llu\n", (unsigned long long)s.guest_insns);
    mon_printf(m, "lookups             %llu\n", (unsigned long long)s.lookups);
    mon_printf(m, "translations        %llu\n", (unsigned long long)s.translations);
    mon_printf(m, "invalidations       %llu\n", (unsigned long long)s.invalidations);
    mon_printf(m, "flushes             %llu\n", (unsigned long long)s.flushes);
    if (!c->backend) return;
    struct jit_stats j;
    jit_get_stats(m->env->machine->engine, &j);
    for (unsigned t = 1; t <= 2; t++) {
        mon_printf(m, "tier %u              %llu regions of %llu blocks, %llu ops, %llu code bytes, %.3f ms compiling, %llu refused\n", t,
                   (unsigned long long)j.tier[t].regions, (unsigned long long)j.tier[t].blocks, (unsigned long long)j.tier[t].ir_ops,
                   (unsigned long long)j.tier[t].text, (double)j.tier[t].ns / 1e6, (unsigned long long)j.tier[t].refused);
    }
    mon_printf(m, "code memory         %zu of %zu bytes, %llu regions invalidated\n", j.mem_used, j.mem_size,
               (unsigned long long)j.invalidated);
}

void mon_info_tlb(struct monitor *m, const struct mon_args *a)
{
    const struct isa *isa = m->env->machine->cfg.isa;

    if (isa->dump_tlb) isa->dump_tlb(m->cpu, mon_put_line, m);
    else mon_printf(m, "Error: this CPU has no TLB to show\n");
}

void mon_info_chardev(struct monitor *m, const struct mon_args *a)
{
    for (struct chardev *c = chr_next(m->env->chrs, NULL); c; c = chr_next(m->env->chrs, c)) {
        char where[256];
        chr_describe(c, where, sizeof where);
        mon_printf(m, "%s: filename=%s\n", chr_id(c), where);
    }
}

void mon_info_name(struct monitor *m, const struct mon_args *a)
{
    if (m->env->machine->cfg.name) mon_printf(m, "%s\n", m->env->machine->cfg.name);
}

void mon_info_uuid(struct monitor *m, const struct mon_args *a)
{
    const char *u = m->env->machine->cfg.uuid;
    mon_printf(m, "%s\n", u ? u : "00000000-0000-0000-0000-000000000000");
}

void mon_info_history(struct monitor *m, const struct mon_args *a)
{
    for (unsigned i = 0; i < m->rl.n_history; i++) mon_printf(m, "%u: '%s'\n", i, m->rl.history[i]);
}

void mon_info_kvm(struct monitor *m, const struct mon_args *a) { mon_printf(m, "kvm support: not compiled\n"); }
