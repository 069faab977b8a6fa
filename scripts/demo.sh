#!/bin/sh
# Sets everything up in .venv and checks a real port: once healthy, once with a bug put in.
set -eu
cd "$(dirname "$0")/.."
sh scripts/env.sh
padiff=.venv/bin/padiff-graph
echo
echo "1. paddle.vision's ResNet-18 against a torch ResNet-18 that is built differently"
$padiff align examples.resnet_port:healthy --rtol 1e-4 --atol 1e-6
echo
echo "2. A port with two bugs: one BatchNorm has TensorFlow's epsilon, one block lost its inner ReLU"
$padiff align examples.resnet_port:buggy --rtol 1e-4 --atol 1e-6 && code=0 || code=$?
# 1 is the answer here: differences were found
[ "$code" = 1 ]
