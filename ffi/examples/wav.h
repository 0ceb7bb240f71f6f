/* A WAV file as one array: 16-bit integers as they are, 24-bit and 32-bit float as float. C11 and C++17. */
#ifndef WAV_H
#define WAV_H
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct wav {
  uint32_t sample_rate;
  uint32_t channels;
  size_t len;     /* values over all channels */
  int16_t *i16;   /* one of the two is NULL */
  float *f32;
} wav;

static uint32_t wav_number(const unsigned char *bytes, int count) {
  uint32_t number = 0;
  for (int i = count - 1; i >= 0; i--) number = number << 8 | bytes[i];
  return number;
}

static void wav_free(wav *w) {
  free(w->i16);
  free(w->f32);
  memset(w, 0, sizeof *w);
}

/* NULL, or what is wrong with the file. */
static const char *wav_read(const char *path, wav *w) {
  unsigned char head[12], chunk[8], fmt[40] = {0}, *data = NULL;
  size_t bytes = 0;
  FILE *file = fopen(path, "rb");
  memset(w, 0, sizeof *w);
  if (!file) return "cannot be opened";
  if (fread(head, 1, 12, file) == 12 && !memcmp(head, "RIFF", 4) && !memcmp(head + 8, "WAVE", 4)) {
    while (!data && fread(chunk, 1, 8, file) == 8) {
      uint32_t len = wav_number(chunk + 4, 4);
      if (!memcmp(chunk, "data", 4)) {
        if ((data = (unsigned char *)malloc(len ? len : 1))) bytes = fread(data, 1, len, file);
      } else if (!memcmp(chunk, "fmt ", 4) && len <= sizeof fmt) {
        if (fread(fmt, 1, len, file) != len) break;
      } else if (fseek(file, (long)(len + (len & 1)), SEEK_CUR)) {
        break;
      }
    }
  }
  fclose(file);
  uint32_t tag = wav_number(fmt, 2), bits = wav_number(fmt + 14, 2);
  if (tag == 0xFFFE) tag = wav_number(fmt + 24, 2); /* WAVE_FORMAT_EXTENSIBLE */
  w->channels = wav_number(fmt + 2, 2);
  w->sample_rate = wav_number(fmt + 4, 4);
  int known = (tag == 1 && (bits == 16 || bits == 24)) || (tag == 3 && bits == 32);
  if (!data || !known || !w->channels) {
    free(data);
    return "is not a WAV file with 16-bit, 24-bit or float samples";
  }
  w->len = bytes / (bits / 8) / w->channels * w->channels;
  if (bits == 16) w->i16 = (int16_t *)malloc(w->len * 2 + 1);
  else w->f32 = (float *)malloc(w->len * 4 + 1);
  for (size_t i = 0; i < w->len && (w->i16 || w->f32); i++) {
    uint32_t value = wav_number(data + i * (bits / 8), (int)(bits / 8));
    if (bits == 16) w->i16[i] = (int16_t)(uint16_t)value;
    else if (bits == 32) memcpy(&w->f32[i], &value, 4);
    else w->f32[i] = (float)((int32_t)(value << 8) >> 8) / 8388608.0f;
  }
  free(data);
  return w->i16 || w->f32 ? NULL : "needs more memory than there is";
}

#endif
