"""A served model that hangs: who listens is told, the next request is spoken, and nobody else notices."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from tests.pocket.onnx.test_shared_speech import PATIENCE_SECONDS, model, voices
from tests.serving.client import audio_seconds, errors, kinds, service
from wyoming_pocket_tts import TTSModel
from wyoming_pocket_tts.engine.observer import Silent
from wyoming_pocket_tts.engine.tone import ToneSynthesizer
from wyoming_pocket_tts.pocket.synthesizer import PocketSynthesizer
from wyoming_pocket_tts.pocket.voice_files import VoiceFiles
from wyoming_pocket_tts.repertoire import Repertoire
from wyoming_pocket_tts.residency.ledger import Patience
from wyoming_pocket_tts.residency.residency import Residency
from wyoming_pocket_tts.residency.resident import Resident, Threadless
