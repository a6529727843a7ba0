"""SampleRNN (Mehri et al. 2017): the model, its quantization and its checkpoint file. Imports nothing live."""
