/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/snapshot/file.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bug.h"
#include "base/le.h"
#include "base/num.h"

#define SNAP_MAGIC "CASEMSNP"

struct file_header {
	uint8_t magic[8];
	le32_t version;
	le32_t header_bytes;
	le32_t file_bytes; /* with the header */
	le32_t sections;
	uint8_t zero[8];
};
_Static_assert(sizeof(struct file_header) == 32, "docs/SNAPSHOT.md");

#define SECTION_MANDATORY 1U
#define SECTION_ALIGN	  8U

struct section_header {
	le32_t type;
	le32_t flags;
	le32_t instance;
	le32_t bytes; /* of the payload, without the zeros that pad it to 8 */
};
_Static_assert(sizeof(struct section_header) == 16, "docs/SNAPSHOT.md");

/* ---- Writing ----------------------------------------------------------------------------- */

static void append(struct snap_writer *w, const void *data, size_t len)
{
	if (w->failed == 0)
		w->failed = buf_put(&w->buf, data, len);
}

void snap_writer_init(struct snap_writer *w)
{
	const struct file_header empty = { 0 }; /* filled at the end */

	*w = (struct snap_writer){ 0 };
	buf_init(&w->buf, SNAP_BYTES_MAX);
	append(w, &empty, sizeof(empty));
}

void snap_writer_done(struct snap_writer *w)
{
	buf_done(&w->buf);
}

void snap_put(struct snap_writer *w, enum snap_type type, uint32_t instance, bool mandatory,
	      const void *data, size_t len)
{
	static const uint8_t zeros[SECTION_ALIGN];
	const struct section_header h = {
		.type = le32_put(type),
		.flags = le32_put(mandatory ? SECTION_MANDATORY : 0),
		.instance = le32_put(instance),
		.bytes = le32_put((uint32_t)len),
	};

	BUG_ON(type >= SNAP_TYPE_END || instance >= SNAP_INSTANCE_MAX || len == 0);
	if (w->failed == 0 && (w->sections == SNAP_SECTIONS_MAX || len > SNAP_BYTES_MAX))
		w->failed = -ENOSPC;
	append(w, &h, sizeof(h));
	append(w, data, len);
	append(w, zeros, align_up(len, SECTION_ALIGN) - len);
	w->sections++;
}

int snap_writer_finish(struct snap_writer *w, const uint8_t **ret, size_t *ret_len)
{
	size_t len = buf_len(&w->buf);
	struct file_header h = {
		.version = le32_put(SNAP_VERSION),
		.header_bytes = le32_put(sizeof(h)),
		.file_bytes = le32_put((uint32_t)len),
		.sections = le32_put(w->sections),
	};

	if (w->failed < 0)
		return w->failed;
	memcpy(h.magic, SNAP_MAGIC, sizeof(h.magic));
	memcpy(w->buf.data + w->buf.off, &h, sizeof(h));
	*ret = buf_head(&w->buf);
	*ret_len = len;
	return 0;
}

/* ---- Reading ----------------------------------------------------------------------------- */

static int check_header(const struct file_header *h, size_t len, struct err *err)
{
	static const uint8_t zero[sizeof(h->zero)];

	if (memcmp(h->magic, SNAP_MAGIC, sizeof(h->magic)) != 0)
		return err_set(err, -EINVAL, "not a state file");
	if (le32_get(h->version) != SNAP_VERSION)
		return err_set(err, -ENOTSUP, "state file of version %" PRIu32 ", this is %u",
			       le32_get(h->version), SNAP_VERSION);
	if (le32_get(h->header_bytes) != sizeof(*h) || memcmp(h->zero, zero, sizeof(zero)) != 0)
		return err_set(err, -EINVAL, "state file: damaged header");
	if (le32_get(h->file_bytes) != len)
		return err_set(err, -EINVAL, "state file: %zu bytes, it should have %" PRIu32, len,
			       le32_get(h->file_bytes));
	if (le32_get(h->sections) > SNAP_SECTIONS_MAX)
		return err_set(err, -EINVAL, "state file: %" PRIu32 " sections",
			       le32_get(h->sections));
	return 0;
}

static bool is_known(uint32_t type, uint32_t instance)
{
	static const uint64_t known =
		UINT64_C(1) << SNAP_MACHINE | UINT64_C(1) << SNAP_CLOCK |
		UINT64_C(1) << SNAP_IOAPIC | UINT64_C(1) << SNAP_ID | UINT64_C(1) << SNAP_SPLIT |
		UINT64_C(1) << SNAP_CPUID | UINT64_C(1) << SNAP_REGS | UINT64_C(1) << SNAP_SREGS |
		UINT64_C(1) << SNAP_XSAVE | UINT64_C(1) << SNAP_XCRS |
		UINT64_C(1) << SNAP_DEBUGREGS | UINT64_C(1) << SNAP_LAPIC |
		UINT64_C(1) << SNAP_EVENTS | UINT64_C(1) << SNAP_MP_STATE |
		UINT64_C(1) << SNAP_MSRS | UINT64_C(1) << SNAP_TSC_KHZ |
		UINT64_C(1) << SNAP_VIRTIO | UINT64_C(1) << SNAP_VIRTIO_PRIVATE;
	_Static_assert(SNAP_TYPE_END <= 64, "a bit for each type");

	return type < SNAP_TYPE_END && (known >> type & 1U) != 0 && instance < SNAP_INSTANCE_MAX;
}

/* Takes note of the section at *off, and moves on. */
static int read_section(struct snap_reader *r, const uint8_t *data, size_t len, size_t *off,
			struct err *err)
{
	struct section_header h;
	uint32_t type, instance, bytes;
	struct snap_section *s;

	if (!range_fits(*off, sizeof(h), len))
		return err_set(err, -EINVAL, "state file: cut off");
	memcpy(&h, data + *off, sizeof(h));
	*off += sizeof(h);
	type = le32_get(h.type);
	instance = le32_get(h.instance);
	bytes = le32_get(h.bytes);
	if (bytes == 0 || bytes > SNAP_BYTES_MAX ||
	    !range_fits(*off, align_up(bytes, SECTION_ALIGN), len) ||
	    (le32_get(h.flags) & ~SECTION_MANDATORY) != 0)
		return err_set(err, -EINVAL, "state file: damaged section %" PRIu32, type);
	if (is_known(type, instance)) {
		s = &r->sections[type][instance];
		if (s->data != NULL)
			return err_set(err, -EINVAL, "state file: section %" PRIu32 " twice", type);
		*s = (struct snap_section){ .data = data + *off, .len = bytes };
	} else if ((le32_get(h.flags) & SECTION_MANDATORY) != 0) {
		return err_set(err, -ENOTSUP,
			       "state file: it needs section %" PRIu32 "/%" PRIu32
			       ", which this version doesn't know",
			       type, instance);
	}
	*off += align_up(bytes, SECTION_ALIGN);
	return 0;
}

int snap_open(struct snap_reader *r, const void *data, size_t len, struct err *err)
{
	struct file_header h;
	size_t off = sizeof(h);
	int rc;

	memset(r, 0, sizeof(*r));
	if (len < sizeof(h) || len > SNAP_BYTES_MAX)
		return err_set(err, -EINVAL, "state file: %zu bytes", len);
	memcpy(&h, data, sizeof(h));
	rc = check_header(&h, len, err);
	for (uint32_t i = 0; i < le32_get(h.sections) && rc == 0; i++)
		rc = read_section(r, data, len, &off, err);
	if (rc == 0 && off != len)
		rc = err_set(err, -EINVAL, "state file: bytes after the last section");
	return rc;
}

const struct snap_section *snap_find(const struct snap_reader *r, enum snap_type type,
				     uint32_t instance)
{
	BUG_ON(type >= SNAP_TYPE_END || instance >= SNAP_INSTANCE_MAX);
	return r->sections[type][instance].data != NULL ? &r->sections[type][instance] : NULL;
}

int snap_take(const struct snap_reader *r, enum snap_type type, uint32_t instance, void *dst,
	      size_t size, struct err *err)
{
	const struct snap_section *s = snap_find(r, type, instance);

	if (s == NULL || s->len != size)
		return err_set(err, -EINVAL, "state file: section %d/%" PRIu32 " is %s", (int)type,
			       instance, s == NULL ? "missing" : "of another size");
	memcpy(dst, s->data, size);
	return 0;
}
