"""Backend on ONNX Runtime."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Lock

import numpy as np

from wyoming_pocket_tts.core.errors import ConfigError, ModelError, VoiceError
from wyoming_pocket_tts.core.types import Floats
from wyoming_pocket_tts.inference.session import OnnxSession, StreamingSession
from wyoming_pocket_tts.pocket.backend import DecodeOutput, Latents, Samples, SamplingParams
from wyoming_pocket_tts.pocket.onnx.bundle import ModelBundle
from wyoming_pocket_tts.pocket.onnx.kv_cache import (
    BatchedFlowModel,
    NoiseSampler,
    SlotBlock,
    SlotPool,
    check_positions,
)
from wyoming_pocket_tts.pocket.tensor_files import SafetensorsFile
from wyoming_pocket_tts.pocket.voice_state import VoiceState

_POSITIONS_PER_PREFILL = 256
"""A long voice prompt is read in parts: the memory of attention grows with their length."""
_FRAMES_PER_ENCODING = 25
_REMEDY = "delete its directory to have it converted again"


@dataclass(frozen=True, slots=True)
class EmbeddingTables:
    """Tables outside the graphs, mapped from the bundle's file."""

    text: Floats  # [tokens, rank or D]
    text_projection: Floats | None  # [D, rank], for tables of low rank
    speaker_projection: Floats  # [D, conditioning_dim]
    before_voice: Floats  # in front of a voice prompt: [1, D] or [0, D]
    bos: Floats  # stands for the latent before the first one: [latent_dim]
    mean: Floats  # of the codec's latents: [latent_dim]
    deviation: Floats  # [latent_dim]

    @classmethod
    def of(cls, bundle: ModelBundle) -> "EmbeddingTables":
        file = SafetensorsFile(bundle.tables)
        tensors = {name: file.read(entry) for name, entry in file.entries.items()}
        width = bundle.config.flow_lm.transformer.d_model
        try:
            return cls(
                text=tensors["text_table"],
                text_projection=tensors.get("text_proj"),
                speaker_projection=tensors["speaker_proj_weight"],
                before_voice=tensors.get("bos_before_voice", np.empty((0, width), np.float32)).reshape(-1, width),
                bos=tensors["bos_emb"],
                mean=tensors["emb_mean"],
                deviation=tensors["emb_std"],
            )
        except KeyError as error:
            raise ModelError(f"{bundle.tables}: the table {error} is missing; {_REMEDY}") from error

    def embed(self, tokens: Sequence[int]) -> Floats:
        """Vectors of tokens: ``[T, D]``."""
        rows: Floats = self.text[np.asarray(tokens, np.int64)]
        return rows if self.text_projection is None else rows @ self.text_projection.T


class OnnxBackend:
    """One converted model, with threads of their own for the language model and the codec."""

    def __init__(self, bundle: ModelBundle, *, flow_threads: int = 1, codec_threads: int = 1) -> None:
        self.config = bundle.config
        self.fingerprint = bundle.fingerprint
        self.sample_rate_hz = bundle.config.mimi.sample_rate
        self.frame_samples = bundle.config.mimi.frame_samples
        self.fixed_steps: int | None = bundle.steps
        self.device = "cpu"
        self.tables = EmbeddingTables.of(bundle)
        self.model = BatchedFlowModel(
            flow=OnnxSession(bundle.flow, threads=flow_threads, remedy=_REMEDY),
            config=bundle.config,
            embed=self.tables.embed,
            bos=self.tables.bos,
            noise=self._begin_noise,
        )
        self._bundle = bundle
        self._decoder = OnnxSession(bundle.decoder, threads=codec_threads, remedy=_REMEDY, keeps_memory=True)
        self._lock = Lock()
        self._seeds = np.random.SeedSequence()

    def seed(self, number: int) -> None:
        """Seed the noise of the sequences that begin from now on, one after the other."""
        with self._lock:
            self._seeds = np.random.SeedSequence(number)

    def open_speech(self, voice: VoiceState, *, positions: int, sampling: SamplingParams) -> "OnnxLatentGenerator":
        return OnnxLatentGenerator(self, voice, positions=positions, noise=self._begin_noise(sampling))

    def open_rows(self) -> SlotPool:
        return SlotPool(self.model)

    def open_decoder(self) -> "OnnxCodecDecoder":
        return OnnxCodecDecoder(self._decoder, self.frame_samples)

    def listen(self, samples: Samples, *, sampling: SamplingParams | None = None) -> VoiceState:  # noqa: ARG002  (see Backend)
        """Encode a voice prompt, filled up with silence to whole frames; raises a VoiceError if it is too long."""
        voice = self._encode(samples) @ self.tables.speaker_projection.T
        inputs: Floats = np.concatenate([self.tables.before_voice, voice])
        return self._encoded_state(None, inputs)

    def listen_on(self, voice: VoiceState, latents: Latents) -> VoiceState:
        """Extend a voice prompt by the model's own latents, as if they had been part of the recording."""
        codec = self.config.mimi
        if codec.conditioning_dim == codec.quantizer.dimension:  # what the encoder would give for the audio
            frames: Floats = latents * self.tables.deviation + self.tables.mean
        else:
            frames = self._encode(self.open_decoder().decode(latents))
        inputs: Floats = frames @ self.tables.speaker_projection.T
        return self._encoded_state(voice, inputs)

    def move(self, device: object) -> None:
        if str(device) != self.device:
            raise ConfigError(f"ONNX Runtime computes on the processor ('cpu') here, not on '{device}'")

    @staticmethod
    def public(array: Floats) -> Floats:
        return array

    def _encoded_state(self, voice: VoiceState | None, inputs: Floats) -> VoiceState:
        noise = NoiseSampler(SamplingParams(0.0), self._next_seed())
        generator = OnnxLatentGenerator(self, voice, positions=len(inputs), noise=noise)
        generator.fill(inputs)
        return generator.state()

    def _encode(self, samples: Samples) -> Floats:
        """Encode ``[N]`` samples into ``[T, conditioning_dim]``."""
        audio: Floats = np.pad(samples, (0, -len(samples) % self.frame_samples)).astype(np.float32, copy=False)
        stream = StreamingSession(self._encoder, source="audio", result="frames")
        width, step = self.config.mimi.conditioning_dim, _FRAMES_PER_ENCODING * self.frame_samples
        pieces = [np.ascontiguousarray(audio[start : start + step])[None] for start in range(0, len(audio), step)]
        return np.concatenate([stream(piece, (1, piece.shape[1] // self.frame_samples, width))[0] for piece in pieces])

    @cached_property
    def _encoder(self) -> OnnxSession:
        """Opened for the first recording: most services never need it."""
        if self._bundle.encoder is None:
            raise VoiceError("this model was converted from weights that cannot clone voices")
        return OnnxSession(self._bundle.encoder, remedy=_REMEDY)

    def _begin_noise(self, sampling: SamplingParams) -> NoiseSampler:
        if sampling.steps != self._bundle.steps:
            raise ModelError(f"the model was converted for {self._bundle.steps} sampler steps, not {sampling.steps}")
        return NoiseSampler(sampling, self._next_seed())

    def _next_seed(self) -> np.random.SeedSequence:
        with self._lock:
            return self._seeds.spawn(1)[0]


class OnnxLatentGenerator:
    """One sequence by itself, in a KV cache of just its size; ``voice`` is None for an empty one."""

    def __init__(self, backend: OnnxBackend, voice: VoiceState | None, *, positions: int, noise: NoiseSampler) -> None:
        self._fingerprint, self._model = backend.fingerprint, backend.model
        room = (voice.length if voice else 0) + positions
        check_positions(room)
        self._block = SlotBlock(backend.model, slots=1, room=room)
        self._slot = self._block.allocate(voice, noise)

    def prefill(self, tokens: Sequence[int]) -> DecodeOutput:
        return self._block.prefill(self._slot, self._model.embed(tokens), self._model.bos)

    def step(self, latent: Floats) -> DecodeOutput:
        return self._block.decode({self._slot: latent})[self._slot]

    def fill(self, inputs: Floats) -> None:
        """Read ``[T, D]`` without an output."""
        for start in range(0, len(inputs), _POSITIONS_PER_PREFILL):
            self._block.prefill(self._slot, inputs[start : start + _POSITIONS_PER_PREFILL], None)

    def state(self) -> VoiceState:
        return VoiceState(layers=self._block.state(self._slot), model=self._fingerprint)


class OnnxCodecDecoder:
    """Decodes one sequence."""

    def __init__(self, session: OnnxSession, frame_samples: int) -> None:
        self._session = session
        self._stream: StreamingSession | None = None
        self._frame_samples = frame_samples

    def decode(self, latents: Latents) -> Samples:
        """``[T, latent_dim]`` normalised latents -> ``[T * frame_samples]``."""
        piece = np.ascontiguousarray(latents, np.float32)[None]
        if self._stream is None:
            self._stream = StreamingSession(self._session, source="latents", result="audio")
        samples: Samples = self._stream(piece, (1, len(latents) * self._frame_samples))[0]
        return samples
