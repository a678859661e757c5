"""Texts and manifests that name another file or a host for the reader to open."""

from tests.hostile.case import DONE, NO_AUDIO, UNSUPPORTED, Workshop, case
from tests.hostile.lying import id3, id3_frame

_HLS = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n{}#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n"
_DASH = (
    '<?xml version="1.0"?>{}<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT9S" profiles="urn:mpeg:dash:profile:isoff-main:2011"><Period>'
    '<AdaptationSet mimeType="audio/mp4"><Representation id="1" bandwidth="1"><BaseURL>{}</BaseURL>'
    '<SegmentBase/></Representation></AdaptationSet></Period></MPD>'
)  # fmt: skip


def _texts(file: str, url: str) -> dict[str, str]:
    host = url.removeprefix("http://").partition("/")[0]
    port = host.rpartition(":")[2]
    key = f'#EXT-X-KEY:METHOD=AES-128,URI="{url}"\n'
    return {
        "hls_of_a_file": _HLS.format("", file),
        "hls_of_a_file_address": _HLS.format("", f"file://{file}"),
        "hls_of_a_part_of_a_file": _HLS.format("", f"subfile,,start,0,end,9,,:{file}"),
        "hls_of_two_files_as_one": _HLS.format("", f"concat:{file}|{file}"),
        "hls_of_a_host": _HLS.format("", url),
        "hls_with_a_key_from_a_host": _HLS.format(key, file),
        "hls_with_an_encrypted_file": _HLS.format("", f"crypto+file:{file}"),
        "hls_with_a_map": _HLS.format(f'#EXT-X-MAP:URI="{file}"\n', url),
        "hls_of_playlists": f'#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{url}\n#EXT-X-MEDIA:TYPE=AUDIO,URI="{file}"\n',
        "hls_of_itself": _HLS.format("", "source"),
        "hls_of_data_in_the_address": _HLS.format("", "data:audio/mpeg;base64,//uQ"),
        "hls_with_a_mark_in_front": "\ufeff" + _HLS.format("", url),
        "concat_of_a_file": f"ffconcat version 1.0\nfile {file}\n",
        "concat_of_a_host": f"ffconcat version 1.0\nfile {url}\n",
        "concat_with_options": f"ffconcat version 1.0\nfile {file}\noption protocol_whitelist file,http\nduration 9\n",
        "concat_address": f"concat:{file}|{file}",
        "dash_of_a_host": _DASH.format("", url),
        "dash_of_a_file": _DASH.format("", f"file://{file}"),
        "dash_with_an_entity": _DASH.format(f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{file}">]>', "&e;"),
        "dash_of_a_billion_laughs": _DASH.format(
            '<!DOCTYPE x [<!ENTITY a "ha">'
            + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
            + "]>", "&i;",
        ),
        "imf_list": f'<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016">'
        f"<Id>urn:uuid:0</Id><Path>{file}</Path></CompositionPlaylist>",
        "m3u_of_a_host_and_a_file": f"{url}\n{file}\n",
        "pls": f"[playlist]\nFile1={url}\nFile2={file}\nNumberOfEntries=2\n",
        "xspf": f'<?xml version="1.0"?><playlist xmlns="http://xspf.org/ns/0/"><track><location>{url}</location></track></playlist>',
        "smil": f'<smil><body><audio src="{url}"/></body></smil>',
        "asx": f'<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
        "asf_reference": f"[Reference]\r\nRef1={url}\r\n",
        "ram": f"rtsp://{host}/x.rm\n",
        "rtsp_text": f"RTSPtextRTSP://{host}/x\n",
        "session_description": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio {port} RTP/AVP 0\n",
        "internet_shortcut": f"[InternetShortcut]\r\nURL={url}\r\n",
        "avisynth_script": f'Import("{file}")\nWavSource("{file}")\n',
        "ffmetadata": f";FFMETADATA1\ntitle={file}\n[CHAPTER]\nTIMEBASE=1/1\nSTART=0\nEND=9\n",
        "filter_graph": f"amovie={file}[out]",
        "file_address": f"file://{file}",
        "svg_with_a_picture": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="file://{file}"/></svg>',
        "vobsub_index": f"# VobSub index file, v7\nid: en\ntimestamp: 00:00:00:000, filepos: 000000000\n{file}\n",
    }  # fmt: skip


for _name in _texts("", ""):

    @case(UNSUPPORTED, name=f"names_elsewhere_{_name}")
    def _text(w: Workshop, name: str = _name) -> bytes:
        return _texts(str(w.canary), w.url)[name].encode()


@case(UNSUPPORTED, DONE, NO_AUDIO)
def mp3_tag_before_a_playlist(w: Workshop) -> bytes:
    return id3(id3_frame(b"TIT2", b"\0x")) + _HLS.format("", w.url).encode()


@case(DONE, seconds=(8.9, 9.1))
def mp3_tag_that_holds_a_playlist(w: Workshop) -> bytes:
    playlist = _HLS.format("", w.canary).encode()
    return id3(id3_frame(b"GEOB", b"\0audio/mpegurl\0x.m3u8\0\0" + playlist)) + w.sound("mp3")


@case(DONE, seconds=(8.9, 9.1))
def mp3_tag_whose_picture_is_elsewhere(w: Workshop) -> bytes:
    picture = id3_frame(b"APIC", b"\0-->\0\3\0" + w.url.encode())
    link = id3_frame(b"LINK", b"APIC" + f"file://{w.canary}".encode() + b"\0")
    return id3(picture + link) + w.sound("mp3")


@case(UNSUPPORTED, NO_AUDIO)
def mxf_whose_sound_is_elsewhere(w: Workshop) -> bytes:
    partition = bytes.fromhex("060e2b34020501010d01020101020400") + b"\x83\0\0\x58" + bytes(88)
    locator = bytes.fromhex("060e2b34025301010d01010101013200") + b"\x83\0\0\x40"
    return partition + locator + f"file://{w.canary}".encode().ljust(64, b"\0")


@case(UNSUPPORTED)
def real_media_redirector(w: Workshop) -> bytes:
    return f".RMP\n{w.url}\nfile://{w.canary}\n".encode()


@case(UNSUPPORTED, NO_AUDIO)
def nsv_list_of_addresses(w: Workshop) -> bytes:
    return b"NSVf" + bytes(24) + w.url.encode() * 50
