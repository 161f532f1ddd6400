# The machine code of paddock/worker/sandbox/pid1.py, for x86_64. It needs neither heap nor writable data.
# A list of system calls, 64 bytes each: number, six arguments, whether it may fail; a negative number ends it.
        .intel_syntax noprefix
        .text
start:  mov     rbx, [rip + list]
next:   mov     rax, [rbx]
        test    rax, rax
        js      obey
        mov     rdi, [rbx + 8]
        mov     rsi, [rbx + 16]
        mov     rdx, [rbx + 24]
        mov     r10, [rbx + 32]
        mov     r8, [rbx + 40]
        mov     r9, [rbx + 48]
        syscall
        test    rax, rax
        jns     done
        cmp     qword ptr [rbx + 56], 0
        jne     done
        push    rax                             # failed: where, and the error, for the runtime to tell
        push    rbx
        mov     edi, 3
        mov     rsi, rsp
        mov     edx, 16
        mov     eax, 1                          # write
        syscall
        jmp     obey
done:   add     rbx, 64
        jmp     next

obey:   xor     edi, edi                        # one byte from descriptor 0: a signal for everybody
        lea     rsi, [rsp - 8]
        mov     edx, 1
        xor     eax, eax                        # read
        syscall
        xor     edi, edi
        cmp     rax, 1
        jne     leave
        movzx   esi, byte ptr [rsp - 8]
        test    esi, esi
        jz      end
        mov     rdi, -1
        mov     eax, 62                         # kill
        syscall
        jmp     obey
end:    mov     rdi, -1                         # or 0: end everybody, until nobody is left, and say so
        mov     esi, 9
        mov     eax, 62
        syscall
        test    rax, rax
        js      ended
        lea     rdi, [rip + pause]
        xor     esi, esi
        mov     eax, 35                         # nanosleep
        syscall
        jmp     end
ended:  xor     edi, edi
        lea     rsi, [rip + told]
        mov     edx, 17
        mov     eax, 1
        syscall
        jmp     obey
leave:  mov     eax, 231                        # exit_group
        syscall

told:   .ascii  "{\"event\":\"ended\"}"
        .balign 8
pause:  .quad   0, 500000
list:   .quad   0
