"""The processor of a run. The cost of ciphers and signatures depends on its
instructions, so the table and the picture name them."""

import platform
from dataclasses import dataclass
from pathlib import Path

# As it is called here, and as /proc/cpuinfo calls it.
FEATURES = {"AVX2": "avx2", "VAES": "vaes", "AVX-512 IFMA": "avx512ifma"}
AVX512 = "AVX-512 IFMA"
# Bits of CPUID leaf 7, EBX and from 32 on ECX: AVX-512 F, DQ, IFMA, PF, ER, CD, BW, VL,
# VBMI, VBMI2, VAES, VPCLMULQDQ, VNNI, BITALG, VPOPCNTDQ.
MASKED = (16, 17, 21, 26, 27, 28, 30, 31, 33, 38, 41, 42, 43, 44, 46)
# `~`: without these bits. aws-lc reads it when it starts, and OpenSSL, for two words of
# 64 bits; the first is left as it is (OPENSSL_ia32cap(3)).
MASK = {"OPENSSL_ia32cap": f"~0x0:~{sum(1 << bit for bit in MASKED):#x}"}


@dataclass(frozen=True)
class Processor:
    name: str
    features: tuple

    def __str__(self):
        has = ", ".join(self.features) or "none of them"
        lacks = [name for name in FEATURES if name not in self.features]
        return f"{self.name}: {has}" + (f"; without {', '.join(lacks)}" if lacks else "")

    @property
    def has_avx512(self):
        return AVX512 in self.features


def parse(text):
    """The first processor of /proc/cpuinfo."""
    lines = [line.partition(":") for line in text.partition("\n\n")[0].splitlines()]
    fields = {key.strip(): value.strip() for key, _, value in lines}
    flags = fields.get("flags", "").split()
    name = fields.get("model name", platform.machine())
    return Processor(name, tuple(feature for feature, flag in FEATURES.items() if flag in flags))


def this_one():
    return parse(Path("/proc/cpuinfo").read_text())
