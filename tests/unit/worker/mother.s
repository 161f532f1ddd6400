# The machine code of paddock/worker/sandbox/mother.py, for x86_64.
        .intel_syntax noprefix
        .text
# long wait(state): fork for each message; returns 0 in each child. state: [0] socket, [8] msghdr, [16] room for its
# control messages, [24] number of the pidfd that comes first, [32] clone's flags, [40] where the child's thread id
# goes, [56] the answer.
wait:   push    rbx
        mov     rbx, rdi
again:  mov     rsi, [rbx + 8]
        mov     rax, [rbx + 16]
        mov     [rsi + 40], rax
        mov     edi, [rbx]
        xor     edx, edx
        mov     eax, 47                         # recvmsg
        syscall
        test    rax, rax
        jle     gone
        mov     edi, [rbx + 24]
        mov     esi, 0x20000000                 # CLONE_NEWPID
        mov     eax, 308                        # setns
        syscall
        test    rax, rax
        js      answer
        mov     rdi, [rbx + 32]
        xor     esi, esi
        xor     edx, edx
        mov     r10, [rbx + 40]
        xor     r8d, r8d
        mov     eax, 56                         # clone
        syscall
        test    rax, rax
        jz      child
answer: mov     [rbx + 56], rax
        mov     edi, [rbx]
        lea     rsi, [rbx + 56]
        mov     edx, 8
        mov     eax, 1                          # write
        syscall
        mov     edi, [rbx + 24]
        mov     esi, 0xffffffff
        xor     edx, edx
        mov     eax, 436                        # close_range
        syscall
        jmp     again
gone:   xor     edi, edi
        mov     eax, 231                        # exit_group
        syscall
child:  pop     rbx
        ret

# long run(list): carry a list of system calls out, as in pid1.s. 0, or the address of the call that failed, whose
# last word is the error from then on.
run:    push    rbx
        mov     rbx, rdi
next:   mov     rax, [rbx]
        test    rax, rax
        js      done
        mov     rdi, [rbx + 8]
        mov     rsi, [rbx + 16]
        mov     rdx, [rbx + 24]
        mov     r10, [rbx + 32]
        mov     r8, [rbx + 40]
        mov     r9, [rbx + 48]
        syscall
        test    rax, rax
        jns     went
        cmp     qword ptr [rbx + 56], 0
        jne     went
        mov     [rbx + 56], rax
        mov     rax, rbx
        pop     rbx
        ret
went:   add     rbx, 64
        jmp     next
done:   xor     eax, eax
        pop     rbx
        ret
