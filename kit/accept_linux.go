package kit

import (
	"net"
	"syscall"
)

// acceptRest accepts until the queue is empty and stops the socket listening,
// in one go. Go's own Accept cannot do it: with a deadline in the past it does
// not ask the kernel, without one it blocks; and close resets what is queued.
func acceptRest(ln net.Listener) ([]net.Conn, error) {
	raw, err := ln.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	fds := make([]int, 0, 128)
	err = raw.Control(func(fd uintptr) {
		for {
			accepted, _, err := syscall.Accept4(int(fd), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
			if err == syscall.EINTR || err == syscall.ECONNABORTED {
				continue
			}
			if err != nil { // EAGAIN: empty
				break
			}
			fds = append(fds, accepted)
		}
		_ = syscall.Shutdown(int(fd), syscall.SHUT_RD) // close waits for us to leave Control, this does not
	})
	var conns []net.Conn
	for _, fd := range fds {
		if c, err := connOf(fd); err == nil {
			conns = append(conns, c)
		}
	}
	return conns, err
}

// refuseHandshakes lets no new TCP handshake begin on a listening socket,
// while those under way can end: otherwise a client that has just been told
// "connected" is reset by the close. The kernel drops the SYN by a filter that
// everybody may set on a socket of their own; the client's retry a second
// later is refused, which is safe to repeat elsewhere.
func refuseHandshakes(sock syscall.Conn) error {
	raw, err := sock.SyscallConn()
	if err != nil {
		return err
	}
	const (
		flags   = 13   // offset in the TCP header
		synAck  = 0x12 // the bits SYN and ACK
		syn     = 0x02
		dropIt  = 0
		letPass = 1<<32 - 1
	)
	program := []syscall.SockFilter{
		{Code: syscall.BPF_LD | syscall.BPF_B | syscall.BPF_ABS, K: flags},
		{Code: syscall.BPF_ALU | syscall.BPF_AND | syscall.BPF_K, K: synAck},
		{Code: syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K, K: syn, Jt: 0, Jf: 1},
		{Code: syscall.BPF_RET | syscall.BPF_K, K: dropIt},
		{Code: syscall.BPF_RET | syscall.BPF_K, K: letPass},
	}
	var attached error
	err = raw.Control(func(fd uintptr) {
		//lint:ignore SA1019 its replacement is in a module, and kit has none
		attached = syscall.AttachLsf(int(fd), program)
	})
	if err != nil {
		return err
	}
	return attached
}
