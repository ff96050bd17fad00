/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Messages that wait for their socket. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "out.h"

void
sock_out_init(struct sock_out *out, size_t limit)
{
	STAILQ_INIT(&out->queue);
	out->bytes = 0;
	out->limit = limit;
}

static void
first_free(struct sock_out *out)
{
	struct sock_out_msg *m = STAILQ_FIRST(&out->queue);

	STAILQ_REMOVE_HEAD(&out->queue, next);
	out->bytes -= m->tx.size;
	sock_fds_close(&m->fds);
	free(m);
}

void
sock_out_clear(struct sock_out *out)
{
	while (!sock_out_empty(out))
		first_free(out);
}

/* Keep what could not be sent, with descriptors of our own. */
static int
keep(struct sock_out *out, const struct sock_tx *tx, const int *fds, unsigned int nfds)
{
	const size_t body_len = tx->size - tx->hdr_len;
	struct sock_out_msg *m = calloc(1, sizeof(*m) + body_len);

	if (m == NULL)
		return -ENOMEM;
	m->tx = *tx;
	m->tx.body = m->body;
	if (body_len > 0)
		memcpy(m->body, tx->body, body_len);
	for (unsigned int i = 0; tx->sent == 0 && i < nfds; i++) {
		int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);

		if (fd < 0) {
			int err = errno;

			sock_fds_close(&m->fds);
			free(m);
			return -err;
		}
		m->fds.fd[m->fds.n++] = fd;
	}
	STAILQ_INSERT_TAIL(&out->queue, m, next);
	out->bytes += tx->size;
	return 0;
}

int
sock_out_send(struct sock_out *out, int sock, const struct sock_tx *msg, const int *fds,
	unsigned int nfds)
{
	struct sock_tx tx = *msg;
	int ret = -EAGAIN;

	if (sock_out_empty(out))
		ret = sock_tx_push(&tx, sock, fds, nfds);
	if (ret != -EAGAIN)
		return ret;
	if (tx.sent == 0 && out->bytes + tx.size > out->limit)
		return -EAGAIN;
	ret = keep(out, &tx, fds, nfds);
	return ret < 0 && tx.sent > 0 ? -ENOTRECOVERABLE : ret;
}

int
sock_out_push(struct sock_out *out, int sock)
{
	while (!sock_out_empty(out)) {
		struct sock_out_msg *m = STAILQ_FIRST(&out->queue);
		int ret = sock_tx_push(&m->tx, sock, m->fds.fd, m->fds.n);

		if (ret < 0)
			return ret;
		first_free(out);
	}
	return 0;
}
