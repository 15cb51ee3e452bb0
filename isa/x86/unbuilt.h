/*
 * unbuilt.h - groups of instructions that the translator does not have yet. Executing one raises #UD, and the log of
 * guest errors names it; models do not claim their features. Names go from here when they are built.
 */
#define x86_tr_rdpkru x86_tr_unbuilt
