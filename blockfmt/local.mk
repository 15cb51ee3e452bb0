# Files of blockfmt/ (see Makefile.am).
libquern_a_SOURCES += blockfmt/block.h blockfmt/driver.h blockfmt/graph.h blockfmt/formats.def
libquern_a_SOURCES += blockfmt/graph.c blockfmt/open.c blockfmt/io.c blockfmt/backend.c blockfmt/bitmap.c
libquern_a_SOURCES += blockfmt/async.c blockfmt/create.c blockfmt/compress.c blockfmt/compress.h
libquern_a_SOURCES += blockfmt/file.c blockfmt/null.c blockfmt/raw.c
libquern_a_SOURCES += blockfmt/qcow2.h blockfmt/qcow2.c blockfmt/qcow2-cluster.c blockfmt/qcow2-refcount.c \
	blockfmt/qcow2-cache.c blockfmt/qcow2-create.c blockfmt/qcow2-header.c blockfmt/qcow2-map.c \
	blockfmt/qcow2-check.c blockfmt/qcow2-snapshot.c blockfmt/qcow2-bitmap.c blockfmt/qcow2-amend.c
libquern_a_SOURCES += blockfmt/imgutil.c blockfmt/imgutil.h blockfmt/vdi.c blockfmt/bochs.c blockfmt/cloop.c blockfmt/dmg.c blockfmt/qed.c blockfmt/qcow.c blockfmt/vhdx.c blockfmt/vhdx.h blockfmt/vhdx-log.c blockfmt/vhdx-create.c blockfmt/vmdk.c blockfmt/vmdk.h blockfmt/vmdk-extent.c blockfmt/vmdk-create.c blockfmt/vpc.c blockfmt/parallels.c
libquern_a_SOURCES += blockfmt/job.h blockfmt/job-impl.h blockfmt/job.c blockfmt/job-stream.c
libquern_a_SOURCES += blockfmt/crypto.h blockfmt/crypto.c blockfmt/luks.h blockfmt/luks.c blockfmt/luks-disk.c
