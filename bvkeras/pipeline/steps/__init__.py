"""The steps of a run, one file each; `bvkeras.pipeline.plan` orders them."""
