"""The prompt language: pure text to small frozen values. Standard library only; both processes import it.

The order in which a picture's prompt passes through it is A1111's:

1. `styles.apply_styles`            style names and `{prompt}`
2. `comments.strip_comments`        `# ...`
3. `networks.extract_networks`      `<lora:name:0.8>`, positive prompt only
4. `composition.split_and`          `AND`, positive prompt only
5. `schedule.prompt_schedule`       `[from:to:0.5]`, `[a|b]`
6. `attention.parse_attention`      `(word:1.2)`, `[word]`, `BREAK`
7. `chunks.chunk_tokens`            75-token chunks, multipliers, embeddings (with `tokens.clip_tokenizer`)

`regions.layout` says which part of a prompt holds in which part of the picture; it comes before all of these.

No function here raises for any prompt; only ratios that are no numbers, and too many regions, are refused.
"""
