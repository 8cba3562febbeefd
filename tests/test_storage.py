"""Files survive crashes, full disks, rivals and strangers, or say clearly that they did not."""

import contextlib
import errno
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from rnn_dynamics.numerics import files, storage

ARRAYS = {
    "axes.b": np.linspace(-3.0, -2.0, 7),
    "values.x": np.arange(12, dtype=np.float32).reshape(3, 4),
    "values.status": np.arange(5, dtype=np.int32),
    "flags": np.array([True, False]),
    "z": np.array([1 + 2j]),
    "scalar": np.array(3.5),
    "empty": np.zeros((0, 4)),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "subnormal": np.array([5e-324, -0.0, np.inf, np.nan]),
}
METADATA = {"steps": 200, "name": "<b>ε</b>", "nested": {"list": [1, 2.5, None, True]}}

CHILD = """
    import itertools, os, resource, signal, sys
    import numpy as np
    from rnn_dynamics.numerics import files, storage
    assert "jax" not in sys.modules  # a child process starts in a tenth of a second
    path = sys.argv[1]
"""


def child(body: str, *arguments: object, **options: object) -> subprocess.Popen:
    """Start Python on ``body`` after the preamble that imports the modules."""
    program = textwrap.dedent(CHILD) + textwrap.dedent(body)
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """An archive of any members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def manifest(arrays: dict | None = None, **changes: object) -> bytes:
    text = {"schema": "rnn_dynamics.arrays", "version": 1, "arrays": arrays or {}, "metadata": {}} | changes
    return json.dumps(text).encode()


def npy(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


def entry(content: bytes, dtype: str, shape: list) -> dict:
    return {"x": {"dtype": dtype, "shape": shape, "sha256": hashlib.sha256(content).hexdigest()}}


def read(path: Path) -> tuple:
    """What a file holds, in a form that can be compared."""
    arrays, metadata = storage.load(path)
    return [(name, a.dtype.str, a.shape, a.tobytes()) for name, a in arrays.items()], metadata


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return storage.save(tmp_path / "result.npz", ARRAYS, METADATA)


class TestRoundTrip:
    def test_every_array_comes_back_bit_for_bit(self, saved):
        arrays, metadata = storage.load(saved)
        assert metadata == METADATA
        assert list(arrays) == list(ARRAYS)
        for name, array in ARRAYS.items():
            assert arrays[name].dtype == array.dtype
            assert arrays[name].shape == array.shape
            assert arrays[name].tobytes() == array.tobytes()
            assert arrays[name].flags.writeable

    def test_numpy_reads_the_file_too(self, saved):
        with np.load(saved, allow_pickle=False) as file:
            np.testing.assert_array_equal(file["values.x"], ARRAYS["values.x"])

    def test_same_content_gives_the_same_bytes(self, saved, tmp_path):
        again = storage.save(tmp_path / "again.npz", ARRAYS, METADATA)
        assert again.read_bytes() == saved.read_bytes()

    def test_jax_arrays_and_numpy_scalars(self, tmp_path):
        import jax.numpy as jnp

        path = storage.save(tmp_path / "a.npz", {"x": jnp.arange(3.0)}, {"steps": np.int64(3), "t": (1, 2)})
        arrays, metadata = storage.load(path)
        np.testing.assert_array_equal(arrays["x"], [0, 1, 2])
        assert metadata == {"steps": 3, "t": [1, 2]}

    def test_nothing_else_is_left_in_the_folder(self, saved):
        assert list(saved.parent.iterdir()) == [saved]

    def test_permissions_follow_the_umask(self, tmp_path):
        old = os.umask(0o027)
        try:
            path = files.atomic_write(tmp_path / "a.txt", "text")
        finally:
            os.umask(old)
        assert path.stat().st_mode & 0o777 == 0o640


class TestArguments:
    @pytest.mark.parametrize("name", ["", "..", "a/b", "a b", "../x", "\u202e", "x" * 201, ".x", "x\0"])
    def test_array_names(self, tmp_path, name):
        with pytest.raises(ValueError, match="arrays"):
            storage.save(tmp_path / "a.npz", {name: np.zeros(2)}, {})

    @pytest.mark.parametrize("value", [object(), "text", None, [{}], np.array(["a"]), np.array([1], "M8[s]")])
    def test_arrays_that_are_no_numbers(self, tmp_path, value):
        with pytest.raises(TypeError, match=r"arrays\['x'\]"):
            storage.save(tmp_path / "a.npz", {"x": value}, {})
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("metadata", [{"x": np.zeros(2)}, {1: 2}, {"a": [{2: 3}]}, {"f": print}, None, 3])
    def test_metadata_without_a_json_form(self, tmp_path, metadata):
        with pytest.raises(TypeError, match="metadata"):
            storage.save(tmp_path / "a.npz", {}, metadata)

    def test_metadata_that_json_would_change(self, tmp_path):
        cyclic: dict = {}
        cyclic["self"] = cyclic
        for metadata in ({"x": float("nan")}, cyclic):
            with pytest.raises(ValueError, match="metadata"):
                storage.save(tmp_path / "a.npz", {}, metadata)

    def test_paths(self, tmp_path):
        with pytest.raises(ValueError, match=r"path.*\.npz"):
            storage.save(tmp_path / "a.dat", {}, {})
        with pytest.raises(FileNotFoundError, match="missing"):
            storage.save(tmp_path / "missing" / "a.npz", {}, {})
        (tmp_path / "folder.npz").mkdir()
        with pytest.raises(ValueError, match="path"):
            storage.save(tmp_path / "folder.npz", {}, {})
        with pytest.raises(FileNotFoundError):
            storage.load(tmp_path / "none.npz")
        with pytest.raises(TypeError, match="content"):
            files.atomic_write(tmp_path / "a.txt", 3)
        with pytest.raises(ValueError, match="path"):
            files.atomic_write("/dev/null", b"")


class TestHazard29Kill:
    """A killed process leaves the old file or the new one, never a part."""

    BODY = """
        point = sys.argv[2]
        def die(*_, **__):
            os.kill(os.getpid(), signal.SIGKILL)
        def content(file):
            file.write(b"new" * 10**6)
            file.flush()
            if point == "writing":
                die()
        if point in ("fsync", "replace"):
            setattr(os, point, die)
        files.atomic_write(path, content)
    """

    @pytest.mark.parametrize("point", ["writing", "fsync", "replace"])
    def test_hazard_29_killed_at_each_stage(self, tmp_path, point):
        path = tmp_path / "a.txt"
        path.write_bytes(b"old")
        process = child(self.BODY, path, point)
        process.communicate(timeout=30)
        assert process.returncode == -signal.SIGKILL
        assert path.read_bytes() == b"old"

    def test_hazard_29_killed_at_random_during_overwrites(self, tmp_path):
        path = tmp_path / "a.npz"
        body = """
            for turn in itertools.count():
                storage.save(path, {"x": np.full(2**19, float(turn))}, {"turn": turn})
                if turn == 0:
                    print("ready", flush=True)
        """
        random = np.random.default_rng(29)
        for _ in range(8):
            process = child(body, path)
            assert process.stdout.readline() == "ready\n"
            time.sleep(random.uniform(0.0, 0.06))
            process.kill()
            process.communicate(timeout=30)
            arrays, metadata = storage.load(path)
            assert (arrays["x"] == metadata["turn"]).all()


class TestHazard30Flips:
    def test_hazard_30_no_sampled_bit_flip_changes_what_is_read(self, saved):
        whole = read(saved)
        content = saved.read_bytes()
        random = np.random.default_rng(30)
        positions = random.choice(8 * len(content), size=600, replace=False)
        for position in positions.tolist():
            flipped = bytearray(content)
            flipped[position // 8] ^= 1 << (position % 8)
            saved.write_bytes(flipped)
            with contextlib.suppress(storage.StorageError):
                assert read(saved) == whole

    def test_hazard_30_every_array_has_its_own_checksum(self, tmp_path):
        path = tmp_path / "a.npz"
        listed = manifest(entry(npy(np.zeros(3)), "<f8", [3]))
        path.write_bytes(archive({"x.npy": npy(np.ones(3)), "manifest.json": listed}))
        with pytest.raises(storage.StorageError, match=r"a\.npz: array 'x' is damaged"):
            storage.load(path)

    @pytest.mark.parametrize("keep", [0, 1, 10, 78, 100, 0.3, 0.9, -1])
    def test_truncated_files(self, saved, keep):
        content = saved.read_bytes()
        end = int(keep * len(content)) if isinstance(keep, float) else keep
        saved.write_bytes(content[:end])
        with pytest.raises(storage.StorageError, match=r"result\.npz"):
            storage.load(saved)

    def test_foreign_files(self, tmp_path):
        path = tmp_path / "foreign.npz"
        np.savez(path, x=np.zeros(3))
        for content in (
            path.read_bytes(),
            b"",
            b"PK\x05\x06" + bytes(18),
            b"hello " * 100,
            b"x" * 500,
        ):
            path.write_bytes(content)
            with pytest.raises(storage.StorageError, match=r"foreign\.npz"):
                storage.load(path)


class TestHazard31Full:
    """A full disk leaves the old file, no temporary, and one clear error."""

    def test_hazard_31_writes_that_fail(self, saved, monkeypatch):
        before = saved.read_bytes()

        class FullDisk(io.FileIO):
            room = 4000

            def write(self, block):
                if self.tell() + len(block) > self.room:
                    raise OSError(errno.ENOSPC, "No space left on device")
                return super().write(block)

        monkeypatch.setattr(files, "_open_new", lambda path: io.BufferedRandom(FullDisk(path, "x+"), 512))
        with pytest.raises(OSError, match="No space left"):
            storage.save(saved, {"x": np.zeros(10**4)}, {})
        assert saved.read_bytes() == before
        assert list(saved.parent.iterdir()) == [saved]

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
    def test_hazard_31_dev_full(self, saved, monkeypatch):
        before = saved.read_bytes()
        monkeypatch.setattr(files, "_open_new", lambda path: io.FileIO("/dev/full", "r+"))
        with pytest.raises(OSError, match="No space left"):
            files.atomic_write(saved, b"new")
        assert saved.read_bytes() == before

    def test_hazard_31_file_size_limit(self, saved):
        before = saved.read_bytes()
        body = """
            resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16))
            try:
                storage.save(path, {"x": np.zeros(2**18)}, {})
            except OSError as error:
                print(error.strerror)
        """
        output, errors = child(body, saved).communicate(timeout=30)
        assert (output, errors) == ("File too large\n", "")
        assert saved.read_bytes() == before
        assert list(saved.parent.iterdir()) == [saved]

    def test_hazard_31_failing_writers_and_renames(self, saved, monkeypatch):
        before = saved.read_bytes()

        def interrupted(*_):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            files.atomic_write(saved, interrupted)
        monkeypatch.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            files.atomic_write(saved, b"new")
        assert saved.read_bytes() == before
        assert list(saved.parent.iterdir()) == [saved]


def test_hazard_32_two_writers_and_a_reader(tmp_path):
    path = tmp_path / "a.npz"
    storage.save(path, {"x": np.zeros(2**15)}, {"turn": 0})
    stop = time.monotonic() + 1.5
    failures = []

    def write(writer: int) -> None:
        turn = 0
        while time.monotonic() < stop:
            turn += 2
            storage.save(path, {"x": np.full(2**15, float(turn + writer))}, {"turn": turn + writer})

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(2)]
    for thread in writers:
        thread.start()
    reads = 0
    while time.monotonic() < stop:
        arrays, metadata = storage.load(path)
        reads += 1
        if not (arrays["x"] == metadata["turn"]).all():
            failures.append(metadata)
    for thread in writers:
        thread.join(timeout=30)
    assert reads > 10
    assert not failures
    assert list(tmp_path.iterdir()) == [path]


class TestHazard33Claims:
    """Sizes are believed only where the bytes are there; a stranger's file gets one clear error."""

    def test_hazard_33_header_that_claims_80_terabytes(self, tmp_path):
        shape = [10**13]
        header = npy(np.zeros(1)).replace(b"(1,), ", b"(%d,), " % shape[0])
        content = header[:128] + bytes(8)
        path = tmp_path / "a.npz"
        path.write_bytes(archive({"x.npy": content, "manifest.json": manifest(entry(content, "<f8", shape))}))
        start = time.perf_counter()
        with pytest.raises(storage.StorageError, match="claims 80000000000000 bytes"):
            storage.load(path)
        assert time.perf_counter() - start < 0.5

    @pytest.mark.parametrize("shape", [(-1,), (2**62, 4), (0, 2**70), (3,), ("a",)])
    def test_hazard_33_shapes_that_do_not_fit(self, tmp_path, shape):
        header = {"descr": "<f8", "fortran_order": False, "shape": shape}
        buffer = io.BytesIO()
        np.lib.format.write_array_header_1_0(buffer, header)
        content = buffer.getvalue() + bytes(16)
        path = tmp_path / "a.npz"
        path.write_bytes(
            archive({"x.npy": content, "manifest.json": manifest(entry(content, "<f8", list(shape)))})
        )
        with pytest.raises(storage.StorageError, match=r"a\.npz"):
            storage.load(path)

    def test_hazard_33_archive_that_unpacks_to_more_than_it_is(self, tmp_path):
        content = npy(np.zeros(10**6))
        members = {"x.npy": content, "manifest.json": manifest(entry(content, "<f8", [10**6]))}
        path = tmp_path / "a.npz"
        path.write_bytes(archive(members, zipfile.ZIP_DEFLATED))
        with pytest.raises(storage.StorageError, match="compressed"):
            storage.load(path)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (manifest(schema="other"), "schema"),
            (manifest(version=3), r"version \(1, 2\)"),
            (manifest(version=None), r"version \(1, 2\)"),
            (manifest(metadata=[]), "metadata"),
            (manifest({"x": {}}), "members"),
            (manifest()[:-1], "readable"),
            (b"[]", "schema"),
            (b"[" * 10**5, "readable"),
            (b"\xff\xfe", "readable"),
        ],
    )
    def test_hazard_33_schema_and_version_come_first(self, tmp_path, content, message):
        path = tmp_path / "a.npz"
        path.write_bytes(archive({"manifest.json": content}))
        with pytest.raises(storage.StorageError, match=message):
            storage.load(path)

    def test_hazard_33_hostile_bytes_raise_nothing_else(self, saved):
        content = saved.read_bytes()
        random = np.random.default_rng(33)
        for _ in range(400):
            altered = bytearray(content)
            for place in random.integers(0, len(content), size=random.integers(1, 6)):
                altered[place] = random.integers(0, 256)
            saved.write_bytes(altered)
            with contextlib.suppress(storage.StorageError):
                storage.load(saved)


class Bomb:
    """Unpickling it makes a folder."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_hazard_34_pickles_are_never_run(tmp_path):
    target = tmp_path / "ran"
    content = npy(np.array([Bomb(str(target))], dtype=object), allow_pickle=True)
    path = tmp_path / "a.npz"
    for dtype in ("|O", "<f8"):
        path.write_bytes(archive({"x.npy": content, "manifest.json": manifest(entry(content, dtype, [1]))}))
        with pytest.raises(storage.StorageError, match="dtype object"):
            storage.load(path)
    with pytest.raises(TypeError, match=r"arrays\['x'\]"):
        storage.save(path, {"x": np.array([Bomb(str(target))], dtype=object)}, {})
    assert not target.exists()


class TestHazard35Names:
    WRONG = (
        *("../../etc/x", "/etc/x", "a/../../b", "", ".", "..", "a\0b", "-rf", "x" * 300, "CON", "con.txt"),
        *("a\u202eb", "a b", "a\\b", "C:x", ".hidden", "a.", "a\n", "nul", "LPT1.png", "~", "é", "a/b"),
    )

    @pytest.mark.parametrize("name", WRONG)
    def test_hazard_35_wrong_names(self, tmp_path, name):
        with pytest.raises(ValueError, match="name: expected") as raised:
            files.safe_name(name)
        assert str(raised.value).isprintable()
        with pytest.raises(ValueError, match="name: expected"):
            files.safe_path(tmp_path, name)

    @pytest.mark.parametrize(
        "name", ["pascanu_3.png", "a", "report.json", "CONE", "x-1.0_b", "x" * 100, "_x"]
    )
    def test_hazard_35_right_names(self, tmp_path, name):
        assert files.safe_name(name) == name
        assert files.safe_path(tmp_path, name) == tmp_path.resolve() / name

    def test_hazard_35_links_out_of_the_folder(self, tmp_path):
        outside, folder = tmp_path / "outside", tmp_path / "folder"
        outside.mkdir()
        folder.mkdir()
        (folder / "link").symlink_to(outside / "x")
        with pytest.raises(ValueError, match="link"):
            files.safe_path(folder, "link")
        files.atomic_write(folder / "link", b"new")
        assert not (outside / "x").exists()
        assert (folder / "link").read_bytes() == b"new"

    def test_hazard_35_other_types(self):
        for name in (None, 3, b"a", Path("a")):
            with pytest.raises(TypeError, match="name"):
                files.safe_name(name)
