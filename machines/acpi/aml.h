/*
 * aml.h - writing ACPI Machine Language: a buffer that terms are appended to, with nested packages
 * whose lengths are filled in when they end. Follows the ACPI specification 6.4, chapters 20 (AML)
 * and 6.4 (resource descriptors).
 *
 * Names are given as in ASL, "\\_SB.PCI0" or "_HID"; segments of fewer than four letters are padded.
 */
#ifndef MACHINES_ACPI_AML_H
#define MACHINES_ACPI_AML_H

#include "util/host.h"

enum { AML_DEPTH = 16 };
struct aml {
    uint8_t *data;
    size_t len, cap;
    size_t open[AML_DEPTH]; /* where the contents of packages that are not ended begin */
    unsigned depth;
};

void aml_free(struct aml *);
void aml_raw(struct aml *, const void *data, size_t n);
void aml_byte(struct aml *, uint8_t);

/* Terms with contents; each needs an aml_end. */
void aml_scope(struct aml *, const char *name);
void aml_device(struct aml *, const char *name);
void aml_method(struct aml *, const char *name, unsigned n_args);
void aml_package(struct aml *, unsigned n); /* n elements follow */
void aml_if(struct aml *);                  /* the predicate follows first */
/* Fields of a region: access by bytes, preserving others. Units follow by aml_field_unit. */
void aml_field(struct aml *, const char *region);
void aml_end(struct aml *);

/* A processor without contents. */
void aml_processor(struct aml *, const char *name, uint8_t id);
void aml_field_unit(struct aml *, const char *name, unsigned bits); /* below 64; NULL: skipped bits */
/* space: 0 memory, 1 I/O, 2 PCI configuration */
void aml_region(struct aml *, const char *name, uint8_t space, uint64_t offset, uint64_t length);

/* Objects. */
void aml_name(struct aml *, const char *name); /* Name(): its object follows */
void aml_path(struct aml *, const char *name); /* a reference */
void aml_int(struct aml *, uint64_t);
void aml_eisa_id(struct aml *, const char *id); /* "PNP0A03" */
void aml_buffer(struct aml *, const void *data, size_t n);
void aml_name_int(struct aml *, const char *name, uint64_t value);
void aml_name_eisa(struct aml *, const char *name, const char *id);

/* Operators, by their opcodes; operands (and for the first four a target, or 0) follow. */
enum {
    AML_STORE = 0x70,
    AML_AND = 0x7b,
    AML_OR = 0x7d,
    AML_CREATE_DWORD = 0x8a, /* buffer, byte index, name */
    AML_LESS = 0x95,
    AML_RETURN = 0xa4,
    AML_ARG0 = 0x68,
    AML_ARG3 = 0x6b,
    AML_LOCAL0 = 0x60,
    AML_NO_TARGET = 0
};

/* Resource descriptors, appended to a buffer of their own; res_end, then aml_buffer. */
void res_io(struct aml *, uint16_t base, uint8_t length, uint8_t align); /* fixed, 16 bits decoded */
void res_irq(struct aml *, unsigned irq);                                /* edge, high, exclusive */
void res_dma(struct aml *, unsigned channel);                            /* 8 bits, not a bus master */
void res_memory(struct aml *, uint32_t base, uint32_t length, bool writable);
void res_interrupt(struct aml *, const uint32_t *irqs, unsigned n); /* level, high, shared */
enum { RES_MEMORY, RES_IO, RES_BUS };
void res_window16(struct aml *, unsigned type, uint16_t first, uint16_t last);
void res_window32(struct aml *, unsigned type, uint32_t first, uint32_t last);
void res_end(struct aml *);
/* Name(name, ResourceTemplate): ends and frees `res`. */
void aml_name_resources(struct aml *, const char *name, struct aml *res);

#endif
