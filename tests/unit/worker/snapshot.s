# The instructions of paddock/worker/runtimes/python/snapshot.py (_CODE), for GNU as: `as snapshot.s`, `objcopy -O binary -j .text`.
# A list is 64 bytes a call: its number, six arguments, and the result that it must have (-1: any but an error). -1 in
# place of a number ends it.
.intel_syntax noprefix
# int take(state): state = [0] stack pointer, [8] calls of taking, [16] calls of restoring
take:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    sub rsp, 8
    stmxcsr [rsp]
    fnstcw [rsp+4]
    mov [rdi], rsp
    mov r13, rdi
    mov rbx, [rdi+8]
    xor r14d, r14d
    jmp next
# restore(state): never returns here
restore:
    mov r13, rdi
    mov rbx, [rdi+16]
    mov r14d, 1
next:
    mov rax, [rbx]
    cmp rax, -1
    je done
    mov rdi, [rbx+8]
    mov rsi, [rbx+16]
    mov rdx, [rbx+24]
    mov r10, [rbx+32]
    mov r8, [rbx+40]
    mov r9, [rbx+48]
    syscall
    mov rcx, [rbx+56]
    add rbx, 64
    cmp rcx, -1
    je any
    cmp rax, rcx
    je next
    jmp failed
any:
    test rax, rax
    jns next
failed:
    mov [r13+24], rbx
    mov [r13+32], rax
    test r14d, r14d
    jz unfit
    mov edi, 71
    mov eax, 231
    syscall
unfit:
    mov eax, -1
    jmp leave
done:
    mov rsp, [r13]
    mov eax, r14d
leave:
    ldmxcsr [rsp]
    fldcw [rsp+4]
    add rsp, 8
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret
