"""Settings of A1111 that mean nothing here, and why. They are kept in config.json untouched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from webui.request.sections import SECTIONS
from webui.request.settings import Settings

_REASONS: tuple[tuple[str, str], ...] = (
    (
        "A1111 itself does not read it, or it has no effect there.",
        "use_upscaler_name_as_suffix ddim_discretize enable_batch_seeds",
    ),
    (
        "Pictures on their way to the page lie in a folder of the program's, which is emptied by itself.",
        "temp_dir clean_temp_dir_at_start",
    ),
    ("The limits of sizes (Settings, Limits) hold for all jobs.", "img_max_size_mp"),
    (
        "LoRAs are merged into the weights exactly, or work beside them where parts of a picture have others.",
        "lora_functional",
    ),
    ("Texts that lie beside models are shown as they are, and never as markup.",
     "extra_networks_card_description_is_html"),
    ("Embeddings that cannot be used are named among the problems.", "textual_inversion_print_at_load"),
    ("A LoRA is named by its own hash, whatever else is in its file.", "lora_bundled_ti_to_infotext"),
    ("One budget of memory holds for models of all kinds (Memory for loaded models).",
     "lora_in_memory_limit sd_checkpoints_keep_in_cpu sd_checkpoint_cache sd_vae_checkpoint_cache "
     "interrogate_keep_models_in_memory unload_models_when_training ldsr_cached upscaling_max_images_in_cache"),
    ("A LoRA that is not there is named on the page and in the API's answer.",
     "lora_not_found_warning_console lora_not_found_gradio_warning"),
    ("Texts that were read are remembered while their model is in memory.", "persistent_cond_cache"),
    ("There are no other engines for the UNet; compiling is switched on by --compile.", "sd_unet SWIN_torch_compile"),
    ("T5 is used where the checkpoint, or a file beside it, has it.", "sd3_enable_t5"),
    ("The editors of pictures have a size and colours of their own, which are chosen there.",
     "img2img_editor_height img2img_sketch_default_brush_color img2img_inpaint_mask_brush_color "
     "img2img_inpaint_sketch_default_brush_color"),
    ("Each picture of a batch from a folder is a job of its own, and all are in the gallery.",
     "img2img_batch_show_results_limit"),
    ("Themes are files of this machine; none is fetched.", "gradio_themes_cache"),
    ("Nothing is run from a folder of scripts; packages are installed, and are read at the start.",
     "enable_reloading_ui_scripts disabled_extensions disable_all_extensions restore_config_state_file"),
    ("`python -m webui bench` measures where time goes.",
     "profiling_enable profiling_activities profiling_record_shapes profiling_profile_memory profiling_with_stack "
     "profiling_filename"),
    ("The setting samples_log_stdout prints the prompts with everything else.", "enable_console_prompts"),
    ("--loglevel says how much is logged.",
     "show_warnings show_gradio_deprecation_warnings print_hypernet_extra hide_ldm_prints"),
    ("Progress is shown on the page; the console has the log alone.", "multiple_tqdm enable_upscale_progressbar"),
    ("What models take is told when it changes (Settings, System).", "memmon_poll_rate"),
    ("Files are read in the way that is quickest for the disk and the device.", "disable_mmap_load_safetensors"),
    ("Ctrl+C ends the server in order; there is nothing to trace.", "dump_stacks_on_signal"),
    ("The titles of checkpoints tell apart files of one name.", "sd_checkpoint_dropdown_use_short"),
    ("Captions have their own choice beside the folder.", "postprocessing_existing_caption_action"),
    ("Every file in the folders of upscalers is listed, and nothing else.",
     "realesrgan_enabled_models dat_enabled_models"),
    ("LDSR is not among the upscalers.", "ldsr_steps"),
    ("Networks are not trained on the page yet.",
     "pin_memory save_optimizer_state save_training_settings_to_txt dataset_filename_word_regex "
     "dataset_filename_join_string training_image_repeats_per_epoch training_write_csv_every "
     "training_xattention_optimizations training_enable_tensorboard training_tensorboard_save_images "
     "training_tensorboard_flush_every"),
    ("The canvas shows the whole picture, lies over nothing else, and its buttons say what they do.",
     "canvas_hotkey_overlap canvas_show_tooltip canvas_auto_expand"),
    ("Pictures are described without lists of words.", "interrogate_clip_dict_limit interrogate_clip_skip_categories"),
    ("It follows from the checkpoint.", "sd_checkpoint_hash"),
)  # fmt: skip


def without_meaning() -> Mapping[str, str]:
    """Key -> why it means nothing here, in A1111's order; none of them is a setting of ours."""
    ours = Settings.keys()
    reasons = {key: why for why, keys in _REASONS for key in keys.split()}
    order = [key for keys in SECTIONS.values() for key in keys]
    return MappingProxyType({key: reasons[key] for key in order if key in reasons and key not in ours})


def table() -> str:
    """The table of `docs/SETTINGS.md`: those that mean nothing here, by their reasons."""
    by_reason: dict[str, list[str]] = {}
    for key, why in without_meaning().items():
        by_reason.setdefault(why, []).append(key)
    return "\n".join(["| settings | why |", "|---|---|", *_lines(by_reason)])


def _lines(by_reason: Mapping[str, list[str]]) -> Iterator[str]:
    for why, keys in by_reason.items():
        yield f"| {', '.join(f'`{key}`' for key in keys)} | {why} |"
