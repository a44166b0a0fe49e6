"""ClipCap's networks as its authors wrote them (train.py), rewritten compactly: what converted weights must equal."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.backbone.tiny import tiny_model


class MLP(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        layers = []
        for i in range(len(sizes) - 1):
            layers.append(nn.Linear(sizes[i], sizes[i + 1]))
            if i < len(sizes) - 2:
                layers.append(nn.Tanh())
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        return self.model(x)


class MlpTransformer(nn.Module):
    def __init__(self, in_dim, h_dim):
        super().__init__()
        self.fc1 = nn.Linear(in_dim, h_dim)
        self.fc2 = nn.Linear(h_dim, in_dim)

    def forward(self, x):
        return self.fc2(F.relu(self.fc1(x)))


class MultiHeadAttention(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.to_queries = nn.Linear(dim, dim, bias=False)
        self.to_keys_values = nn.Linear(dim, dim * 2, bias=False)
        self.project = nn.Linear(dim, dim)

    def forward(self, x):
        b, n, c = x.shape
        queries = self.to_queries(x).reshape(b, n, self.num_heads, c // self.num_heads)
        keys_values = self.to_keys_values(x).reshape(b, n, 2, self.num_heads, c // self.num_heads)
        keys, values = keys_values[:, :, 0], keys_values[:, :, 1]
        attention = torch.einsum("bnhd,bmhd->bnmh", queries, keys) * self.scale
        out = torch.einsum("bnmh,bmhd->bnhd", attention.softmax(dim=2), values).reshape(b, n, c)
        return self.project(out)


class TransformerLayer(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = MultiHeadAttention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = MlpTransformer(dim, dim * 2)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    def __init__(self, dim, num_heads, num_layers):
        super().__init__()
        self.layers = nn.ModuleList([TransformerLayer(dim, num_heads) for _ in range(num_layers)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class TransformerMapper(nn.Module):
    def __init__(self, dim_clip, dim_embedding, prefix_length, clip_length, num_layers):
        super().__init__()
        self.clip_length = clip_length
        self.transformer = Transformer(dim_embedding, 8, num_layers)
        self.linear = nn.Linear(dim_clip, clip_length * dim_embedding)
        self.prefix_const = nn.Parameter(torch.randn(prefix_length, dim_embedding))

    def forward(self, x):
        x = self.linear(x).view(x.shape[0], self.clip_length, -1)
        prefix = self.prefix_const.unsqueeze(0).expand(x.shape[0], *self.prefix_const.shape)
        return self.transformer(torch.cat((x, prefix), dim=1))[:, self.clip_length :]


class ClipCaptionModel(nn.Module):
    """The whole model; its language model is `tiny_model`, which stands for the hub's gpt2."""

    def __init__(self, mapping_type, prefix_length, *, clip_length=10, prefix_size=512, num_layers=8, gpt=None):
        super().__init__()
        self.prefix_length = prefix_length
        self.gpt = gpt or tiny_model()
        self.gpt_embedding_size = self.gpt.transformer.wte.weight.shape[1]
        out = self.gpt_embedding_size * prefix_length
        if mapping_type == "linear":  # predict.py, prefixes longer than 10
            self.clip_project = nn.Linear(prefix_size, out)
        elif mapping_type == "mlp":
            self.clip_project = MLP((prefix_size, out // 2, out))
        else:
            self.clip_project = TransformerMapper(
                prefix_size, self.gpt_embedding_size, prefix_length, clip_length, num_layers
            )

    def forward(self, tokens, prefix, mask=None, labels=None):
        embedding_text = self.gpt.transformer.wte(tokens)
        embedding_cat = torch.cat((self.project(prefix), embedding_text), dim=1)
        if labels is not None:
            dummy_token = torch.zeros(tokens.shape[0], self.prefix_length, dtype=torch.int64)
            labels = torch.cat((dummy_token, tokens), dim=1)
        return self.gpt(inputs_embeds=embedding_cat, labels=labels, attention_mask=mask)

    def project(self, prefix):
        return self.clip_project(prefix).view(-1, self.prefix_length, self.gpt_embedding_size)

    @torch.no_grad()
    def generate2(self, embed: Tensor, stop: int, entry_length: int = 24) -> list[int]:
        """predict.py's generate2, whose top_p ends in an argmax and is therefore greedy."""
        tokens: list[int] = []
        for _ in range(entry_length):
            tokens.append(int(self.gpt(inputs_embeds=embed).logits[0, -1].argmax()))
            if tokens[-1] == stop:
                break
            embed = torch.cat((embed, self.gpt.transformer.wte(torch.tensor([tokens[-1:]]))), dim=1)
        return tokens


def old_state_dict(model: ClipCaptionModel) -> dict[str, Tensor]:
    """Return the state dict as transformers 4 saved it, with the masks of GPT-2's attention."""
    tensors = dict(model.state_dict())
    for layer in range(len(model.gpt.transformer.h)):
        tensors[f"gpt.transformer.h.{layer}.attn.bias"] = torch.ones(1, 1, 64, 64, dtype=torch.uint8).tril()
        tensors[f"gpt.transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    return tensors
