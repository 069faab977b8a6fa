"""Further published pairs that nobody of this project had tried before: `MORE[name].fn()`, as `pairs.PAIRS`.

Their known verdicts are in `more_known.json`; `python benchmarks/more_pairs.py` compares them."""

from functools import partial

import pairs
from pairs import *
from pairs import _BART, _T5, _TXT, _UC, _VIS, _clip, _diff, _enc, _ppim, _timm

_OLD = set(PAIRS)
TWO = ("input_ids", "decoder_input_ids")
_enc(
    "u_blenderbot",
    "BlenderbotConfig",
    "BlenderbotModel",
    "blenderbot",
    "BlenderbotConfig",
    "BlenderbotModel",
    base=dict(_BART),
    tkw=dict(use_cache=False),
    pkw=dict(num_encoder_layers=2, num_decoder_layers=2),
    names=TWO,
)
_enc(
    "u_blenderbot_small",
    "BlenderbotSmallConfig",
    "BlenderbotSmallModel",
    "blenderbot_small",
    "BlenderbotSmallConfig",
    "BlenderbotSmallModel",
    base=dict(_BART),
    tkw=dict(use_cache=False, scale_embedding=True),
    pkw=dict(num_encoder_layers=2, num_decoder_layers=2),
    names=TWO,
)
_enc(
    "u_bloom",
    "BloomConfig",
    "BloomModel",
    "bloom",
    "BloomConfig",
    "BloomModel",
    base=dict(vocab_size=96, hidden_size=32, n_layer=2, n_head=4),
    tkw=NC,
)
_enc(
    "u_bloom_lm",
    "BloomConfig",
    "BloomForCausalLM",
    "bloom",
    "BloomConfig",
    "BloomForCausalLM",
    base=dict(vocab_size=96, hidden_size=32, n_layer=2, n_head=4),
    tkw=NC,
)
_enc(
    "u_convbert",
    "ConvBertConfig",
    "ConvBertModel",
    "convbert",
    "ConvBertConfig",
    "ConvBertModel",
    tkw=dict(embedding_size=16),
    pkw=dict(embedding_size=16),
)
_enc(
    "u_ctrl",
    "CTRLConfig",
    "CTRLModel",
    "ctrl",
    "CTRLConfig",
    "CTRLModel",
    base=dict(vocab_size=96, n_positions=64, n_embd=32, dff=48, n_layer=2, n_head=4),
    tkw=NC,
    pkw=NC,
)
_enc(
    "u_deberta_v2",
    "DebertaV2Config",
    "DebertaV2Model",
    "deberta_v2",
    "DebertaV2Config",
    "DebertaV2Model",
    base=dict(
        SMALL,
        relative_attention=True,
        pos_att_type=["c2p", "p2c"],
        position_biased_input=False,
        max_relative_positions=64,
        share_att_key=True,
    ),
    pkw=dict(share_attn_key=True),
)
_enc("u_fnet", "FNetConfig", "FNetModel", "fnet", "FNetConfig", "FNetModel")
_enc(
    "u_layoutlm",
    "LayoutLMConfig",
    "LayoutLMModel",
    "layoutlm",
    "LayoutLMConfig",
    "LayoutLMModel",
    base=dict(SMALL, max_2d_position_embeddings=64),
    tin=dict(bbox=np.sort(ints(60, 2, 9, 4), -1)),
    pin=dict(bbox=np.sort(ints(60, 2, 9, 4), -1)),
)
_enc(
    "u_mbart",
    "MBartConfig",
    "MBartModel",
    "mbart",
    "MBartConfig",
    "MBartModel",
    base=_BART,
    tkw=dict(use_cache=False, scale_embedding=True),
    names=TWO,
)
_enc("u_megatronbert", "MegatronBertConfig", "MegatronBertModel", "megatronbert", "MegatronBertConfig", "MegatronBertModel")
_enc(
    "u_mobilebert",
    "MobileBertConfig",
    "MobileBertModel",
    "mobilebert",
    "MobileBertConfig",
    "MobileBertModel",
    tkw=dict(embedding_size=16, true_hidden_size=16, intra_bottleneck_size=16),
    pkw=dict(embedding_size=16, true_hidden_size=16, intra_bottleneck_size=16),
)
_enc("u_mt5", "MT5Config", "MT5Model", "mt5", "MT5Config", "MT5Model", base=_T5, tkw=NC, pkw=dict(use_cache=False), names=TWO)
_enc(
    "u_mt5_lm",
    "MT5Config",
    "MT5ForConditionalGeneration",
    "mt5",
    "MT5Config",
    "MT5ForConditionalGeneration",
    base=_T5,
    tkw=NC,
    pkw=dict(use_cache=False),
    names=TWO,
)
_enc("u_t5_encoder", "T5Config", "T5EncoderModel", "t5", "T5Config", "T5EncoderModel", base=_T5, tkw=NC, pkw=dict(use_cache=False))
_enc(
    "u_prophetnet",
    "ProphetNetConfig",
    "ProphetNetModel",
    "prophetnet",
    "ProphetNetConfig",
    "ProphetNetModel",
    base=dict(
        vocab_size=96,
        hidden_size=32,
        encoder_ffn_dim=48,
        num_encoder_attention_heads=4,
        num_encoder_layers=2,
        decoder_ffn_dim=48,
        num_decoder_attention_heads=4,
        num_decoder_layers=2,
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    ),
    tkw=NC,
    names=TWO,
)
_enc("u_roformer", "RoFormerConfig", "RoFormerModel", "roformer", "RoFormerConfig", "RoFormerModel", base=dict(SMALL, embedding_size=16))
_enc(
    "u_roformer_value",
    "RoFormerConfig",
    "RoFormerForMaskedLM",
    "roformer",
    "RoFormerConfig",
    "RoFormerForMaskedLM",
    base=dict(SMALL, embedding_size=16, rotary_value=True),
)
_enc(
    "u_falcon_rw",
    "FalconConfig",
    "FalconModel",
    "rw",
    "RWConfig",
    "RWModel",
    base=dict(vocab_size=96, hidden_size=32),
    tkw=dict(
        NC,
        num_hidden_layers=2,
        num_attention_heads=4,
        alibi=False,
        new_decoder_architecture=False,
        multi_query=True,
        parallel_attn=True,
        bias=False,
    ),
    pkw=dict(n_layer=2, n_head=4, multi_query=True, parallel_attn=True, alibi=False, bias=False),
)
_enc(
    "u_squeezebert",
    "SqueezeBertConfig",
    "SqueezeBertModel",
    "squeezebert",
    "SqueezeBertConfig",
    "SqueezeBertModel",
    base=dict(SMALL, embedding_size=32),
)
_XL = dict(vocab_size=96, d_model=32, n_layer=2, n_head=4, d_inner=48)
_enc(
    "u_xlnet",
    "XLNetConfig",
    "XLNetModel",
    "xlnet",
    "XLNetConfig",
    "XLNetModel",
    base=_XL,
    tkw=dict(use_mems_eval=False),
    pkw=dict(use_mems_eval=False),
)
_enc(
    "u_xlnet_lm",
    "XLNetConfig",
    "XLNetLMHeadModel",
    "xlnet",
    "XLNetConfig",
    "XLNetLMHeadModel",
    base=_XL,
    tkw=dict(use_mems_eval=False),
    pkw=dict(use_mems_eval=False),
)
_enc(
    "u_xlm",
    "XLMConfig",
    "XLMModel",
    "xlm",
    "XLMConfig",
    "XLMModel",
    base=dict(vocab_size=96, emb_dim=32, n_layers=2, n_heads=4, max_position_embeddings=64),
)
_enc(
    "u_luke",
    "LukeConfig",
    "LukeModel",
    "luke",
    "LukeConfig",
    "LukeModel",
    base=dict(SMALL, entity_vocab_size=20, entity_emb_size=16),
    tin=dict(),
    pin=dict(),
)
_enc("u_tinybert", "BertConfig", "BertModel", "tinybert", "TinyBertConfig", "TinyBertModel")
_enc(
    "u_ernie_m",
    "RobertaConfig",
    "RobertaModel",
    "ernie_m",
    "ErnieMConfig",
    "ErnieMModel",
    pkw=dict(pad_token_id=1),
    notes="other architecture in detail: no token types, position offset 2",
)
_enc("u_skep", "ErnieConfig", "ErnieModel", "skep", "SkepConfig", "SkepModel", pkw=dict(use_task_id=False))
_enc("u_ppminilm", "BertConfig", "BertModel", "ppminilm", "PPMiniLMConfig", "PPMiniLMModel")
_enc("u_bert_mlm", "BertConfig", "BertForMaskedLM", "bert", "BertConfig", "BertForMaskedLM")
_enc(
    "u_roberta_cls",
    "RobertaConfig",
    "RobertaForSequenceClassification",
    "roberta",
    "RobertaConfig",
    "RobertaForSequenceClassification",
    tkw=dict(num_labels=3),
    pkw=dict(num_labels=3),
    tin=dict(position_ids=np.tile(np.arange(2, 11, dtype="int64"), (2, 1))),
    pin=dict(position_ids=np.tile(np.arange(2, 11, dtype="int64"), (2, 1))),
)
_enc(
    "u_electra_disc",
    "ElectraConfig",
    "ElectraForTokenClassification",
    "electra",
    "ElectraConfig",
    "ElectraForTokenClassification",
    base=dict(SMALL, embedding_size=16, num_labels=5),
)
_enc(
    "u_albert_mlm", "AlbertConfig", "AlbertForMaskedLM", "albert", "AlbertConfig", "AlbertForMaskedLM", base=dict(SMALL, embedding_size=16)
)
_enc(
    "u_bart_lm",
    "BartConfig",
    "BartForConditionalGeneration",
    "bart",
    "BartConfig",
    "BartForConditionalGeneration",
    base=_BART,
    tkw=NC,
    names=TWO,
)
_enc(
    "u_gpt2_lm",
    "GPT2Config",
    "GPT2LMHeadModel",
    "gpt",
    "GPTConfig",
    "GPTForCausalLM",
    base={},
    tkw=dict(vocab_size=96, n_positions=64, n_embd=32, n_layer=2, n_head=4, n_inner=48, use_cache=False),
    pkw=dict(vocab_size=96, max_position_embeddings=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48),
)
PF = dict(use_cache=False, fuse_rms_norm=False, fuse_attention_qkv=False, fuse_attention_ffn=False)


def pf(name, d, tc, tm, pc, pm, base=None, tkw=None, pkw=None, **k):
    _enc(
        name,
        tc,
        tm,
        d,
        pc,
        pm,
        "llm",
        base=dict(LLM, **base or {}),
        tkw=dict(NC, **tkw or {}),
        pkw=dict(PF, **pkw or {}),
        pkg="paddleformers",
        **k,
    )


pf("u_pf_qwen3", "qwen3", "Qwen3Config", "Qwen3ForCausalLM", "Qwen3Config", "Qwen3ForCausalLMDeprecated", base=dict(head_dim=8))
pf(
    "u_pf_qwen3_moe",
    "qwen3_moe",
    "Qwen3MoeConfig",
    "Qwen3MoeForCausalLM",
    "Qwen3MoeConfig",
    "Qwen3MoeForCausalLMDeprecated",
    base=dict(head_dim=8, moe_intermediate_size=16, num_experts=4, num_experts_per_tok=2, norm_topk_prob=True),
)
pf(
    "u_pf_phi3",
    "phi3",
    "Phi3Config",
    "Phi3ForCausalLM",
    "Phi3Config",
    "Phi3ForCausalLM",
    base=dict(pad_token_id=0, eos_token_id=2, bos_token_id=1),
)
pf(
    "u_pf_gemma3",
    "gemma3_text",
    "Gemma3TextConfig",
    "Gemma3ForCausalLM",
    "Gemma3TextConfig",
    "Gemma3ForCausalLM",
    base=dict(head_dim=8, query_pre_attn_scalar=8, sliding_window=4, tie_word_embeddings=True),
)
pf(
    "u_pf_gpt_oss",
    "gpt_oss",
    "GptOssConfig",
    "GptOssForCausalLM",
    "GptOssConfig",
    "GptOssForCausalLM",
    base=dict(head_dim=8, num_local_experts=4, num_experts_per_tok=2, sliding_window=4),
)
pf(
    "u_pf_qwen3_next",
    "qwen3_next",
    "Qwen3NextConfig",
    "Qwen3NextForCausalLM",
    "Qwen3NextConfig",
    "Qwen3NextForCausalLM",
    base=dict(
        head_dim=8,
        moe_intermediate_size=16,
        shared_expert_intermediate_size=16,
        num_experts=4,
        num_experts_per_tok=2,
        linear_num_key_heads=2,
        linear_num_value_heads=4,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
    ),
)


def reg(n, f, cat="cnn", notes=""):
    f.__name__ = n
    PAIRS[n] = Pair(f, cat, n, n, notes, None, None)


def tc(n, t, p, size=64, tkw=None, pkw=None):
    reg(n, _timm(t, p, size, tkw, pkw))


LNP = partial(paddle.nn.LayerNorm, epsilon=1e-06)
tc("u_densenet121_tc", "densenet121", "DenseNet121")
tc("u_dpn68", "dpn68", "DPN68")
tc("u_regnetx_200", "regnetx_002", "RegNetX_200MF")
tc("u_res2net50", "res2net50_26w_4s", "Res2Net50_26w_4s")
tc("u_res2net50_vd", "res2net50d", "Res2Net50_vd_26w_4s")
tc("u_resnet50c", "resnet50c", "ResNet50_vc")
tc("u_seresnet18_vd", "seresnet18", "SE_ResNet18_vd")
tc("u_resnext50_tc", "resnext50_32x4d", "ResNeXt50_32x4d")
_P = dict(embed_dims=(16, 32, 40, 64), depths=(1, 1, 1, 1))
tc(
    "u_pvt_v2",
    "pvt_v2_b0",
    "model_zoo.pvt_v2:PyramidVisionTransformerV2",
    64,
    dict(embed_dims=(16, 32, 40, 64), depths=(1, 1, 1, 1), num_heads=(1, 2, 5, 8), mlp_ratios=(4, 4, 4, 4)),
    dict(
        patch_size=4,
        embed_dims=[16, 32, 40, 64],
        num_heads=[1, 2, 5, 8],
        mlp_ratios=[4, 4, 4, 4],
        qkv_bias=True,
        norm_layer=LNP,
        depths=[1, 1, 1, 1],
        sr_ratios=[8, 4, 2, 1],
    ),
)
tc(
    "u_pvt_v2_linear",
    "pvt_v2_b2_li",
    "model_zoo.pvt_v2:PyramidVisionTransformerV2",
    64,
    dict(embed_dims=(16, 32, 40, 64), depths=(1, 1, 1, 1), num_heads=(1, 2, 5, 8), mlp_ratios=(4, 4, 4, 4)),
    dict(
        patch_size=4,
        embed_dims=[16, 32, 40, 64],
        num_heads=[1, 2, 5, 8],
        mlp_ratios=[4, 4, 4, 4],
        qkv_bias=True,
        norm_layer=LNP,
        depths=[1, 1, 1, 1],
        sr_ratios=[8, 4, 2, 1],
        linear=True,
    ),
)
tc(
    "u_pcpvt",
    "twins_pcpvt_small",
    "model_zoo.twins:CPVTV2",
    224,
    dict(embed_dims=(16, 32, 40, 64), depths=(1, 1, 1, 1)),
    dict(
        patch_size=4,
        embed_dims=[16, 32, 40, 64],
        num_heads=[1, 2, 5, 8],
        mlp_ratios=[8, 8, 4, 4],
        qkv_bias=True,
        norm_layer=LNP,
        depths=[1, 1, 1, 1],
        sr_ratios=[8, 4, 2, 1],
    ),
)
tc(
    "u_alt_gvt",
    "twins_svt_small",
    "model_zoo.twins:ALTGVT",
    224,
    dict(embed_dims=(16, 32, 64, 128), depths=(2, 2, 2, 2)),
    dict(
        patch_size=4,
        embed_dims=[16, 32, 64, 128],
        num_heads=[2, 4, 8, 16],
        mlp_ratios=[4, 4, 4, 4],
        qkv_bias=True,
        norm_layer=LNP,
        depths=[2, 2, 2, 2],
        wss=[7, 7, 7, 7],
        sr_ratios=[8, 4, 2, 1],
    ),
)
tc("u_starnet_s1", "starnet_s1", "StarNet_S1")
tc("u_fasternet_t0", "fasternet_t0", "FasterNet_T0")
tc("u_mobilevitv2", "mobilevitv2_050", "MobileViTV2_x0_5")
tc("u_effnetv2_s", "tf_efficientnetv2_s", "EfficientNetV2_S")
tc("u_tinynet_e", "tinynet_e", "TinyNet_E")


def tv(n, t, p, size=64, tkw=None):

    def f():
        import torchvision.models as tvm, paddleclas.ppcls.arch.backbone as bb

        return img(getattr(bb, p)(class_num=10), getattr(tvm, t)(weights=None, num_classes=10, **tkw or {}), size)

    reg(n, f)


def pv(n, t, p, size=64, tkw=None):

    def f():
        import timm, paddle.vision.models as m

        return img(getattr(m, p)(num_classes=10), timm.create_model(t, pretrained=False, num_classes=10, **tkw or {}), size)

    reg(n, f)


def hf(n, f):
    reg(n, f, "cnn")


S = lambda *s, seed=0: rnd(*s, seed=seed)
TS = lambda n=1: np.array([7] * n, "int64")
_diff(
    "u_unet_cond",
    "UNet2DConditionModel",
    _UC,
    lambda: dict(sample=S(1, 4, 16, 16), timestep=TS(), encoder_hidden_states=S(1, 5, 12, seed=1)),
)
_diff(
    "u_unet_cond_mid",
    "UNet2DConditionModel",
    dict(
        _UC,
        use_linear_projection=True,
        act_fn="silu",
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
        class_embed_type="timestep",
    ),
    lambda: dict(sample=S(1, 4, 16, 16), timestep=TS(), encoder_hidden_states=S(1, 5, 12, seed=1), class_labels=TS()),
)
_diff(
    "u_controlnet",
    "ControlNetModel",
    dict(
        in_channels=4,
        layers_per_block=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        attention_head_dim=4,
        cross_attention_dim=12,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        conditioning_embedding_out_channels=(8, 16),
    ),
    lambda: dict(sample=S(1, 4, 16, 16), timestep=TS(), encoder_hidden_states=S(1, 5, 12, seed=1), controlnet_cond=S(1, 3, 32, 32, seed=2)),
)
_diff(
    "u_vqmodel",
    "VQModel",
    dict(
        in_channels=3,
        out_channels=3,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        latent_channels=3,
        num_vq_embeddings=12,
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        sample_size=16,
    ),
    lambda: dict(sample=S(1, 3, 16, 16)),
)
_diff(
    "u_autoencoder_tiny",
    "AutoencoderTiny",
    dict(
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 2),
        num_decoder_blocks=(2, 1),
        upsampling_scaling_factor=2,
    ),
    lambda: dict(sample=S(1, 3, 16, 16)),
)
_diff(
    "u_autoencoder_asym",
    "AsymmetricAutoencoderKL",
    dict(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 2,
        down_block_out_channels=(8, 16),
        layers_per_down_block=1,
        up_block_types=("UpDecoderBlock2D",) * 2,
        up_block_out_channels=(8, 16),
        layers_per_up_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=16,
    ),
    lambda: dict(sample=S(1, 3, 16, 16)),
)
_diff(
    "u_transformer2d",
    "Transformer2DModel",
    dict(
        num_attention_heads=2, attention_head_dim=4, in_channels=8, num_layers=2, norm_num_groups=4, cross_attention_dim=12, sample_size=8
    ),
    lambda: dict(hidden_states=S(1, 8, 8, 8), encoder_hidden_states=S(1, 5, 12, seed=1)),
)
_diff(
    "u_dit",
    "Transformer2DModel",
    dict(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        patch_size=2,
        sample_size=8,
        norm_type="ada_norm_zero",
        num_embeds_ada_norm=10,
        norm_elementwise_affine=False,
        activation_fn="gelu-approximate",
        attention_bias=True,
    ),
    lambda: dict(hidden_states=S(1, 4, 8, 8), timestep=TS(), class_labels=np.array([3], "int64")),
)


def u_dit_new():
    import diffusers, ppdiffusers

    k = dict(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        patch_size=2,
        sample_size=8,
        norm_type="ada_norm_zero",
        num_embeds_ada_norm=10,
        norm_elementwise_affine=False,
        activation_fn="gelu-approximate",
        attention_bias=True,
    )
    a = dict(hidden_states=S(1, 4, 8, 8), timestep=TS(), class_labels=np.array([3], "int64"))
    return (ppdiffusers.Transformer2DModel(**k), diffusers.DiTTransformer2DModel(**k), (P(**a), T(**a)))


PAIRS["u_dit_new"] = Pair(u_dit_new, "diffusion", "", "", "", None, None)
_diff(
    "u_prior",
    "PriorTransformer",
    dict(num_attention_heads=2, attention_head_dim=8, num_layers=2, embedding_dim=12, num_embeddings=5, additional_embeddings=4),
    lambda: dict(hidden_states=S(1, 12), timestep=TS(), proj_embedding=S(1, 12, seed=1), encoder_hidden_states=S(1, 5, 12, seed=2)),
)
_diff(
    "u_unet1d",
    "UNet1DModel",
    dict(
        sample_size=32,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        down_block_types=("DownResnetBlock1D", "DownResnetBlock1D"),
        up_block_types=("UpResnetBlock1D",),
        mid_block_type="MidResTemporalBlock1D",
        out_block_type="OutConv1DBlock",
        act_fn="mish",
        layers_per_block=1,
        use_timestep_embedding=True,
        time_embedding_type="positional",
        downsample_each_block=False,
        flip_sin_to_cos=False,
        freq_shift=1.0,
    ),
    lambda: dict(sample=S(1, 4, 32), timestep=TS()),
)
_U3 = dict(
    sample_size=8,
    in_channels=4,
    out_channels=4,
    layers_per_block=1,
    block_out_channels=(8, 16),
    norm_num_groups=4,
    attention_head_dim=4,
    cross_attention_dim=12,
    down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
    up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
)
_diff(
    "u_unet3d", "UNet3DConditionModel", _U3, lambda: dict(sample=S(1, 4, 2, 8, 8), timestep=TS(), encoder_hidden_states=S(1, 5, 12, seed=1))
)
_diff(
    "u_unet_svd",
    "UNetSpatioTemporalConditionModel",
    dict(
        sample_size=8,
        in_channels=8,
        out_channels=4,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        block_out_channels=(32, 64),
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=24,
        layers_per_block=1,
        cross_attention_dim=12,
        num_attention_heads=(2, 4),
    ),
    lambda: dict(
        sample=S(1, 2, 8, 8, 8),
        timestep=TS(),
        encoder_hidden_states=S(1, 1, 12, seed=1),
        added_time_ids=np.array([[6.0, 127.0, 0.02]], "float32"),
    ),
)
_diff(
    "u_t2i_xl",
    "T2IAdapter",
    dict(in_channels=3, channels=(8, 16), num_res_blocks=1, downscale_factor=8, adapter_type="full_adapter_xl"),
    lambda: dict(x=S(1, 3, 32, 32)),
)
_diff(
    "u_t2i_light",
    "T2IAdapter",
    dict(in_channels=3, channels=(8, 16), num_res_blocks=1, downscale_factor=4, adapter_type="light_adapter"),
    lambda: dict(x=S(1, 3, 32, 32)),
)
_clip(
    "u_clip_text",
    "CLIPTextConfig",
    "CLIPTextModel",
    "clip",
    "CLIPTextConfig",
    "CLIPTextModel",
    lambda: dict(input_ids=ints(90, 2, 9, lo=5)),
    _TXT,
)
_clip(
    "u_chinese_clip_text",
    "ChineseCLIPTextConfig",
    "ChineseCLIPTextModel",
    "chineseclip",
    "ChineseCLIPTextConfig",
    "ChineseCLIPTextModel",
    lambda: dict(input_ids=ints(90, 2, 9, lo=5)),
    _TXT,
)
_clip(
    "u_chinese_clip_vision",
    "ChineseCLIPVisionConfig",
    "ChineseCLIPVisionModel",
    "chineseclip",
    "ChineseCLIPVisionConfig",
    "ChineseCLIPVisionModel",
    lambda: dict(pixel_values=rnd(2, 3, 32, 32)),
    _VIS,
)
_clip(
    "u_clipseg_vision",
    "CLIPSegVisionConfig",
    "CLIPSegVisionModel",
    "clipseg",
    "CLIPSegVisionConfig",
    "CLIPSegVisionModel",
    lambda: dict(pixel_values=rnd(2, 3, 32, 32)),
    _VIS,
)
_clip(
    "u_clipseg",
    "CLIPSegConfig",
    "CLIPSegForImageSegmentation",
    "clipseg",
    "CLIPSegConfig",
    "CLIPSegForImageSegmentation",
    lambda: dict(input_ids=ints(90, 1, 9, lo=5), pixel_values=rnd(1, 3, 32, 32)),
    dict(
        text_config=dict(_TXT, eos_token_id=2),
        vision_config=_VIS,
        projection_dim=16,
        extract_layers=[0, 1],
        reduce_dim=16,
        decoder_num_attention_heads=4,
        decoder_intermediate_size=32,
    ),
)
_clip(
    "u_blip_vision",
    "BlipVisionConfig",
    "BlipVisionModel",
    "blip",
    "BlipVisionConfig",
    "BlipVisionModel",
    lambda: dict(pixel_values=rnd(2, 3, 32, 32)),
    _VIS,
)
_clip(
    "u_blip_text",
    "BlipTextConfig",
    "BlipTextModel",
    "blip",
    "BlipTextConfig",
    "BlipTextModel",
    lambda: dict(input_ids=ints(90, 2, 9, lo=5)),
    dict(_TXT, is_decoder=False),
)
_clip(
    "u_blip2_vision",
    "Blip2VisionConfig",
    "Blip2VisionModel",
    "blip_2",
    "Blip2VisionConfig",
    "Blip2VisionModel",
    lambda: dict(pixel_values=rnd(2, 3, 32, 32)),
    _VIS,
)
_clip(
    "u_dpt",
    "DPTConfig",
    "DPTForDepthEstimation",
    "dpt",
    "DPTConfig",
    "DPTForDepthEstimation",
    lambda: dict(pixel_values=rnd(1, 3, 32, 32)),
    dict(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=48,
        image_size=32,
        patch_size=8,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 16, 24, 32],
        fusion_hidden_size=16,
    ),
)
_clip(
    "u_bit",
    "BitConfig",
    "BitModel",
    "bit",
    "BitConfig",
    "BitModel",
    lambda: dict(pixel_values=rnd(1, 3, 64, 64)),
    dict(embedding_size=16, hidden_sizes=[32, 64], depths=[1, 2], num_groups=4),
)
_clip(
    "u_clap_audio",
    "ClapAudioConfig",
    "ClapAudioModel",
    "clap",
    "ClapAudioConfig",
    "ClapAudioModel",
    lambda: dict(input_features=rnd(1, 1, 64, 16)),
    dict(
        window_size=4,
        num_mel_bins=16,
        spec_size=64,
        patch_embeds_hidden_size=16,
        depths=[1, 2],
        num_attention_heads=[2, 4],
        hidden_size=32,
        projection_dim=16,
    ),
)
_clip(
    "u_clap_text",
    "ClapTextConfig",
    "ClapTextModel",
    "clap",
    "ClapTextConfig",
    "ClapTextModel",
    lambda: dict(input_ids=ints(90, 2, 9, lo=5)),
    dict(_TXT, max_position_embeddings=64),
)
_clip(
    "u_speecht5",
    "SpeechT5HifiGanConfig",
    "SpeechT5HifiGan",
    "speecht5",
    "SpeechT5HifiGanConfig",
    "SpeechT5HifiGan",
    lambda: dict(spectrogram=rnd(6, 8)),
    dict(
        model_in_dim=8,
        upsample_initial_channel=16,
        upsample_rates=[2, 2],
        upsample_kernel_sizes=[4, 4],
        resblock_kernel_sizes=[3, 5],
        resblock_dilation_sizes=[[1, 3], [1, 3]],
    ),
)
MORE = {name: pair for name, pair in PAIRS.items() if name not in _OLD}
