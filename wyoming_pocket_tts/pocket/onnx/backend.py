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
    FlowSession,
    NoiseSampler,
    SlotPool,
    check_positions,
    empty_caches,
    write_voice,
)
from wyoming_pocket_tts.pocket.tensor_files import SafetensorsFile
from wyoming_pocket_tts.pocket.voice_state import VoiceState

_POSITIONS_PER_PREFILL = 256
"""Attention over a long voice prompt is done in parts: its memory grows with their length."""
_FRAMES_PER_ENCODING = 25
_REMEDY = "delete its directory to have it converted again"


@dataclass(frozen=True, slots=True)
class EmbeddingTables:
    """What is looked up outside the graphs, mapped from the bundle's file.

    Attributes:
        text: a row for each token, ``[entries, rank or D]``.
        text_projection: ``[D, rank]``, for tables of low rank.
        speaker_projection: ``[D, conditioning_dim]``.
        before_voice: what stands before a voice prompt, ``[1, D]``, or nothing, ``[0, D]``.
        bos: stands for the latent before the first one, ``[latent_dim]``.
        mean, deviation: of the codec's latents, ``[latent_dim]``.
    """

    text: Floats
    text_projection: Floats | None
    speaker_projection: Floats
    before_voice: Floats
    bos: Floats
    mean: Floats
    deviation: Floats

    @classmethod
    def of(cls, bundle: ModelBundle) -> "EmbeddingTables":
        """Map the bundle's tables.

        Raises:
            ModelError: the file is damaged.
        """
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
        """Look tokens up: ``[T, D]``."""
        rows: Floats = self.text[np.asarray(tokens, np.int64)]
        return rows if self.text_projection is None else rows @ self.text_projection.T


class OnnxBackend:
    """One converted model.

    Args:
        bundle: the model.
        flow_threads: threads that compute the language model.
        codec_threads: threads that decode.
    """

    def __init__(self, bundle: ModelBundle, *, flow_threads: int = 1, codec_threads: int = 1) -> None:
        self.config = bundle.config
        self.fingerprint = bundle.fingerprint
        self.sample_rate_hz = bundle.config.mimi.sample_rate
        self.frame_samples = bundle.config.mimi.frame_samples
        self.fixed_steps: int | None = bundle.steps
        self.device = "cpu"
        self.tables = EmbeddingTables.of(bundle)
        self.flow = OnnxSession(bundle.flow, threads=flow_threads, remedy=_REMEDY)
        self._bundle = bundle
        self._decoder = OnnxSession(bundle.decoder, threads=codec_threads, remedy=_REMEDY, keeps_memory=True)
        self._lock = Lock()
        self._seeds = np.random.SeedSequence()

    def seed(self, number: int) -> None:
        """Let the noise of the next speeches, one after the other, begin with this number."""
        with self._lock:
            self._seeds = np.random.SeedSequence(number)

    def open_speech(self, voice: VoiceState, *, positions: int, sampling: SamplingParams) -> "OnnxLatentGenerator":
        """Begin a chunk in a voice.

        Raises:
            VoiceError: voice and text together are too long.
        """
        return OnnxLatentGenerator(self, voice, positions=positions, noise=self._begin_noise(sampling))

    def open_rows(self) -> SlotPool:
        """Let speeches share the language model's calls."""
        return SlotPool(
            BatchedFlowModel(
                flow=self.flow,
                config=self.config,
                embed=self.tables.embed,
                bos=self.tables.bos,
                noise=self._begin_noise,
            )
        )

    def open_decoder(self) -> "OnnxCodecDecoder":
        """Begin to decode."""
        return OnnxCodecDecoder(StreamingSession(self._decoder, source="latents", result="audio"), self.frame_samples)

    def listen(self, samples: Samples, *, sampling: SamplingParams | None = None) -> VoiceState:  # noqa: ARG002  (see Backend)
        """Hear a voice prompt; it is filled up with silence to whole frames.

        Raises:
            VoiceError: it is too long.
        """
        voice = self._encode(samples) @ self.tables.speaker_projection.T
        inputs: Floats = np.concatenate([self.tables.before_voice, voice])
        return self._heard(None, inputs)

    def listen_on(self, voice: VoiceState, latents: Latents) -> VoiceState:
        """Hear the model's own latents after the voice prompt, as if they had been part of the recording."""
        codec = self.config.mimi
        if codec.conditioning_dim == codec.quantizer.dimension:  # what the encoder would make of the audio
            frames: Floats = latents * self.tables.deviation + self.tables.mean
        else:
            frames = self._encode(self.open_decoder().decode(latents))
        inputs: Floats = frames @ self.tables.speaker_projection.T
        return self._heard(voice, inputs)

    def move(self, device: object) -> None:
        """Stay where it is.

        Raises:
            ConfigError: the device is another than the processor.
        """
        if str(device) != self.device:
            raise ConfigError(f"ONNX Runtime computes on the processor ('cpu') here, not on '{device}'")

    @staticmethod
    def public(array: Floats) -> Floats:
        """Users of this engine expect NumPy's arrays."""
        return array

    def _heard(self, voice: VoiceState | None, inputs: Floats) -> VoiceState:
        speech = OnnxLatentGenerator(
            self, voice, positions=len(inputs), noise=NoiseSampler(SamplingParams(0.0), self._next_seed())
        )
        speech.fill(inputs)
        return speech.state()

    def _encode(self, samples: Samples) -> Floats:
        """Encode ``[N]`` samples into ``[T, conditioning_dim]``."""
        audio: Floats = np.pad(samples, (0, -len(samples) % self.frame_samples)).astype(np.float32, copy=False)
        run = StreamingSession(self._encoder, source="audio", result="frames")
        width, step = self.config.mimi.conditioning_dim, _FRAMES_PER_ENCODING * self.frame_samples
        pieces = [np.ascontiguousarray(audio[start : start + step])[None] for start in range(0, len(audio), step)]
        return np.concatenate([run(piece, (1, piece.shape[1] // self.frame_samples, width))[0] for piece in pieces])

    @cached_property
    def _encoder(self) -> OnnxSession:
        """Opened when the first recording comes: most services never hear one."""
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
    """A voice that speaks one chunk.

    Args:
        backend: the model.
        voice: who speaks; None for nobody yet.
        positions: how many are to come.
        noise: what latents are drawn from.
    """

    def __init__(self, backend: OnnxBackend, voice: VoiceState | None, *, positions: int, noise: NoiseSampler) -> None:
        self._backend = backend
        self._noise = noise
        self._length = voice.length if voice else 0
        check_positions(self._length + positions)
        self._caches = empty_caches(backend.config, rows=1, room=self._length + positions)
        if voice:
            write_voice(self._caches[:, :, 0], voice)
        self._run = FlowSession(backend.flow, backend.config, self._caches)

    def prefill(self, tokens: Sequence[int]) -> DecodeOutput:
        """Read the text and the sign that audio begins, in one pass; return the first frame."""
        self._advance(len(tokens) + 1)
        self._run.read(self._backend.tables.embed(tokens)[None], self._backend.tables.bos)
        return self._frame()

    def step(self, latent: Floats) -> DecodeOutput:
        """Read the last frame's latent; return the next frame."""
        self._advance(1)
        self._run.step(latent[None])
        return self._frame()

    def fill(self, inputs: Floats) -> None:
        """Let ``[T, D]`` be remembered; nothing is asked of them."""
        for start in range(0, len(inputs), _POSITIONS_PER_PREFILL):
            piece = inputs[None, start : start + _POSITIONS_PER_PREFILL]
            self._advance(piece.shape[1])
            self._run.read(piece)

    def state(self) -> VoiceState:
        """All that was heard and said."""
        used = self._caches[:, :, 0, :, : self._length].transpose(0, 1, 3, 2, 4)  # [layer, 2, T, key heads, head width]
        layers = tuple(np.ascontiguousarray(layer) for layer in used)
        return VoiceState(layers=layers, model=self._backend.fingerprint)

    def _advance(self, positions: int) -> None:
        self._noise.draw(self._run.noise)
        self._length += positions
        self._run.lengths[0] = self._length

    def _frame(self) -> DecodeOutput:
        return DecodeOutput(self._run.latent[0].copy(), float(self._run.eos_logit[0]))


class OnnxCodecDecoder:
    """The codec's decoder at work on one chunk."""

    def __init__(self, run: StreamingSession, frame_samples: int) -> None:
        self._stream = run
        self._frame_samples = frame_samples

    def decode(self, latents: Latents) -> Samples:
        """Decode ``[T, latent_dim]`` normalised latents."""
        piece = np.ascontiguousarray(latents, np.float32)[None]
        samples: Samples = self._stream(piece, (1, len(latents) * self._frame_samples))[0]
        return samples
