/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry.S - the two ways in, and what C can't say: GDT, static page tables, interrupt stubs,
 * the application processors' trampoline.
 *
 * The page tables map 8 GiB one to one with 2 MiB pages and are assembled, not computed: on a
 * software KVM the 32-bit stub is emulated, so it must be short.
 */
#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define PAGE_RW 3
#define PAGE_2M 0x83
#define TRAMPOLINE 0x8000

	.section .note.pvh, "a", @note
	.align 4
	.long 4, 4, XEN_ELFNOTE_PHYS32_ENTRY
	.asciz "Xen"
	.long entry32

	.section .text.entry, "ax"
	.code64
	.globl entry64
entry64:			/* 64-bit boot protocol: rsi = boot_params */
	rdtsc
	mov	%eax, first_tsc
	mov	%edx, first_tsc + 4
	cli
	mov	$0, %edi
	jmp	start64

	.code32
entry32:			/* PVH: ebx = hvm_start_info, paging off */
	rdtsc
	mov	%eax, first_tsc
	mov	%edx, first_tsc + 4
	cli
	mov	$pml4, %eax
	mov	%eax, %cr3
	mov	%cr4, %eax
	or	$0x20, %eax	/* PAE */
	mov	%eax, %cr4
	mov	$0xc0000080, %ecx
	rdmsr
	or	$0x100, %eax	/* EFER.LME */
	wrmsr
	mov	%cr0, %eax
	or	$0x80000001, %eax
	mov	%eax, %cr0
	lgdt	gdt_ptr
	ljmp	$8, $entry32_long
	.code64
entry32_long:
	mov	$1, %edi
	mov	%ebx, %esi
start64:
	lgdt	gdt_ptr
	mov	$pml4, %eax
	mov	%rax, %cr3
	mov	$16, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	$stack_top, %esp
	push	$8
	push	$1f
	lretq
1:	xor	%ebp, %ebp
	call	guest_main
2:	hlt
	jmp	2b

/* Exceptions 0..31 and device vectors 64..95: push the number, go to C. */
	.macro STUB n
	.align 16
	.if !(\n == 8 || (\n >= 10 && \n <= 14) || \n == 17)
	push	$0		/* where the CPU pushes no error code */
	.endif
	push	$\n
	jmp	stub_common
	.endm
	.align 16
	.globl stubs
stubs:
	.altmacro
	.set	i, 0
	.rept	96
	STUB	%i
	.set	i, i + 1
	.endr
	.noaltmacro
stub_common:
	push	%rax
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	mov	72(%rsp), %rdi	/* vector */
	mov	80(%rsp), %rsi	/* error code */
	lea	88(%rsp), %rdx	/* rip: it may be changed */
	cld
	call	guest_interrupt
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%rcx
	pop	%rax
	add	$16, %rsp
	iretq

/* Copied to TRAMPOLINE: an application processor starts here in real mode. */
	.code16
	.globl ap_trampoline, ap_trampoline_end
ap_trampoline:
	cli
	xor	%ax, %ax
	mov	%ax, %ds
	lgdtl	TRAMPOLINE + (ap_gdt_ptr - ap_trampoline)
	mov	$pml4, %eax
	mov	%eax, %cr3
	mov	%cr4, %eax
	or	$0x20, %eax
	mov	%eax, %cr4
	mov	$0xc0000080, %ecx
	rdmsr
	or	$0x100, %eax
	wrmsr
	mov	%cr0, %eax
	or	$0x80000001, %eax
	mov	%eax, %cr0
	ljmpl	$8, $ap_long
ap_gdt_ptr:
	.word	gdt_end - gdt - 1
	.long	gdt
ap_trampoline_end:
	.code64
ap_long:
	lock incl ap_count
	mov	ap_entry, %rax	/* what to do, or nothing */
	test	%rax, %rax
	jz	3f
	mov	$16, %ecx
	mov	%ecx, %ds
	mov	%ecx, %es
	mov	%ecx, %ss
	mov	$ap_stack_top, %esp
	call	*%rax
3:	hlt
	jmp	3b

	.section .data
	.align 8
gdt:	.quad	0
	.quad	0x00af9b000000ffff	/* 8: 64-bit code */
	.quad	0x00cf93000000ffff	/* 16: data */
gdt_end:
gdt_ptr:
	.word	gdt_end - gdt - 1
	.quad	gdt
	.globl first_tsc
	.align 8
first_tsc:
	.quad	0
	.globl ap_count, ap_entry
	.align 8
ap_entry:
	.quad	0
ap_count:
	.long	0

	.align 4096
pml4:	.quad	pdpt + PAGE_RW
	.fill	511, 8, 0
pdpt:
	.set	i, 0
	.rept	8
	.quad	pd + i * 4096 + PAGE_RW
	.set	i, i + 1
	.endr
	.fill	504, 8, 0
pd:
	.set	i, 0
	.rept	8 * 512
	.quad	(i << 21) + PAGE_2M
	.set	i, i + 1
	.endr

	.section .bss
	.align 16
	.skip	65536
stack_top:
	.skip	16384
ap_stack_top:
	.section .note.GNU-stack, "", @progbits
