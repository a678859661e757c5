"""Where ffmpeg is, and how it is asked: what it may open, and what it makes.

The file is somebody else's. Protocols and demuxers are allowed by name, not forbidden by name: only containers that
hold their media themselves. A playlist, a concat script, an SDP file or a DASH manifest names other files and hosts,
and a subtitle or an image is nothing to transcribe; ffmpeg recognises all of them and then refuses to go on. Decoders
are allowed by name as well.
"""

import functools
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from pipelines.documents import SAMPLE_RATE
from pipelines.errors import ToolError

DEMUXERS = (
    "aac,ac3,act,aiff,amr,amrnb,amrwb,ape,asf,asf_o,au,avi,caf,dhav,dsf,dss,dts,dtshd,dv,eac3,flac,flv,gsm,ilbc,ircam,"
    "ivr,kux,live_flv,loas,matroska,mlp,mov,mp3,mpc,mpc8,mpeg,mpegts,mxf,nistsphere,nsv,nut,ogg,oma,qcp,rm,shn,sox,"
    "tak,truehd,tta,voc,w64,wav,webm,wtv,wv,xwma"
)
"""Containers of audio and video in one file. Older builds lack a few; a name they do not know does no harm."""

DECODERS = (
    "8svx_exp,8svx_fib,aac,aac_at,aac_fixed,aac_latm,ac3,ac3_at,ac3_fixed,acelp.kelvin,adpcm_adx,adpcm_ct,adpcm_ima_amv,"
    "adpcm_ima_oki,adpcm_ima_qt,adpcm_ima_qt_at,adpcm_ima_smjpeg,adpcm_ima_wav,adpcm_ms,adpcm_sbpro_2,adpcm_sbpro_3,"
    "adpcm_sbpro_4,adpcm_swf,adpcm_yamaha,alac,alac_at,als,amr_nb_at,amrnb,amrwb,ape,aptx,aptx_hd,atrac1,atrac3,atrac3al,"
    "atrac3plus,atrac3plusal,comfortnoise,cook,dca,dolby_e,dsd_lsbf,dsd_lsbf_planar,dsd_msbf,dsd_msbf_planar,dss_sp,dst,"
    "dvaudio,eac3,eac3_at,evrc,flac,g722,g723_1,g726,g726le,g729,gsm,gsm_ms,gsm_ms_at,iac,ilbc,ilbc_at,imc,"
    "libfdk_aac,libgsm,libgsm_ms,libilbc,libopencore_amrnb,libopencore_amrwb,libopus,libspeex,libvorbis,mace3,mace6,"
    "metasound,mlp,mp1,mp1_at,mp1float,mp2,mp2_at,mp2float,mp3,mp3_at,mp3adu,mp3adufloat,mp3float,mp3on4,mp3on4float,mpc7,"
    "mpc8,msnsiren,nellymoser,on2avc,opus,pcm_alaw,pcm_alaw_at,pcm_bluray,pcm_dvd,pcm_f16le,pcm_f24le,pcm_f32be,pcm_f32le,"
    "pcm_f64be,pcm_f64le,pcm_lxf,pcm_mulaw,pcm_mulaw_at,pcm_s16be,pcm_s16be_planar,pcm_s16le,pcm_s16le_planar,pcm_s24be,"
    "pcm_s24daud,pcm_s24le,pcm_s24le_planar,pcm_s32be,pcm_s32le,pcm_s32le_planar,pcm_s64be,pcm_s64le,pcm_s8,pcm_s8_planar,"
    "pcm_u16be,pcm_u16le,pcm_u24be,pcm_u24le,pcm_u32be,pcm_u32le,pcm_u8,pcm_zork,qcelp,qdm2,qdm2_at,qdmc,qdmc_at,ralf,"
    "real_144,real_288,s302m,sbc,shorten,sipr,siren,sonic,speex,tak,truehd,truespeech,tta,twinvq,vorbis,wavpack,"
    "wmalossless,wmapro,wmav1,wmav2,wmavoice,xma1,xma2"
)
"""Of sound, as far as recordings come in it. Those of pictures, which ffmpeg would try on some frames and on each cover
to describe them, are the larger part of what can be attacked, and of the memory that a small file can take."""

LONGEST_GAP_SECONDS = 3600
"""A longer jump of the time stamps is taken for a broken clock, not for silence."""

_SMALLEST_GAP_SECONDS = 0.05
"""A shorter one is rounding (Matroska counts milliseconds, MP3 frames are 26 ms)."""


@functools.cache
def find_ffmpeg() -> str:
    """Path of the ffmpeg on PATH, else of the one that the ``imageio-ffmpeg`` package carries.

    Raises:
        ToolError: Neither is there.
    """
    if found := shutil.which("ffmpeg"):
        return found
    try:
        import imageio_ffmpeg

        carried: str = imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise ToolError("The server has no ffmpeg: install ffmpeg, or the Python package imageio-ffmpeg.") from error
    if not os.access(carried, os.X_OK):
        raise ToolError("The ffmpeg of the package imageio-ffmpeg cannot be run: install ffmpeg on the server.")
    return carried


def command(
    source: Path, target: Path, *, seconds: float, mix: str | None = None, whole: bool = False, channels: int = 1
) -> list[str]:
    """The command that makes ``target`` (16 kHz s16 WAV) of the first audio track.

    Args:
        source: Read by content; its name plays no part.
        target: Overwritten.
        seconds: Stop after so much audio.
        mix: A filter that mixes the channels down where nobody says what they are; see ``equal_mix``.
        whole: Read a WAV file to its end, whatever length its header claims.
        channels: 1: the channels become one. More: the source has so many, and each is kept by itself.
    """
    return [
        find_ffmpeg(),
        *("-hide_banner", "-nostdin", "-loglevel", "level+info", "-nostats", "-progress", "pipe:1", "-y"),
        # One thread decodes a minute of speech in milliseconds, and memory then does not grow with the machine.
        *("-threads", "1", "-filter_threads", "1"),
        *("-protocol_whitelist", "file", "-format_whitelist", DEMUXERS, "-codec_whitelist", DECODERS),
        *("-guess_layout_max", "2", *(("-ignore_length", "1") if whole else ())),
        *("-i", f"file:{source.absolute()}"),
        *("-map", "0:a:0", "-vn", "-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1"),
        *("-af", ",".join(_filters(mix, channels)), "-c:a", "pcm_s16le", "-max_error_rate", "1"),
        *("-t", f"{seconds:.3f}", "-fflags", "+bitexact", "-f", "wav", f"file:{target.absolute()}"),
    ]


def _filters(mix: str | None, channels: int) -> Sequence[str]:
    """Sample by sample onto the recording's clock, so that times are those a player shows.

    A track that starts after the picture, that was paused or lost packets has gaps in its time stamps; written one
    after the other, the samples would be early from there on. So gaps become silence. Nothing is ever cut: a step back
    (joined files, a clock set anew) goes on where the audio before it ended, as does a jump past all reason, which
    would also be held in memory at once.
    """
    # What fills a gap is held in memory at once, for all channels.
    longest_gap = LONGEST_GAP_SECONDS // channels
    # ld(0): where the next sample belongs; ld(2): what a wrong clock is ahead by; both in units of the time base.
    onto_clock = (
        f"st(1,PTS-ld(2));if(gt(ld(1)-ld(0),{longest_gap}/TB),st(2,PTS-ld(0)));"
        "st(1,max(PTS-ld(2),ld(0)));st(0,ld(1)+NB_SAMPLES/SR/TB);ld(1)"
    )
    if channels > 2:
        # By number and not by name: whatever the layout is called, nothing of one gets into another.
        mix, layout = f"pan={channels}c|{'|'.join(f'c{n}=c{n}' for n in range(channels))}", ""
    else:
        layout = f":channel_layouts={'stereo' if channels == 2 else 'mono'}"
    return [
        *([mix] if mix else []),
        f"aformat=sample_fmts=s16:sample_rates={SAMPLE_RATE}{layout}",
        f"asetpts='{onto_clock}'",
        f"aresample=async=1:first_pts=0:min_hard_comp={_SMALLEST_GAP_SECONDS}",
    ]


def equal_mix(channels: int) -> str:
    """All channels alike, for a recorder whose many tracks have no place in a room."""
    return "pan=mono|c0=" + "+".join(f"{1 / channels:.6f}*c{n}" for n in range(channels))
