#if canImport(CoreML)
    import AgentCore
    import CoreML
    import Foundation

    /// One model with input and output buffers made beforehand.
    final class CoreMLProgram: Program {
        let placement: String?
        private let model: MLModel
        private let input: MLMultiArray
        private let source: [Float]
        private let features: MLFeatureProvider
        private let options = MLPredictionOptions()
        private let outputName: String

        init(model: MLModel, seed: UInt64, placement: String?) throws {
            let about = model.modelDescription
            guard about.inputDescriptionsByName.count == 1, about.outputDescriptionsByName.count == 1,
                let (inputName, wanted) = about.inputDescriptionsByName.first,
                let (outputName, made) = about.outputDescriptionsByName.first,
                let inputShape = wanted.multiArrayConstraint, let outputShape = made.multiArrayConstraint
            else { throw BackendError("the model has other than one input and one output") }
            self.model = model
            self.placement = placement
            self.outputName = outputName
            input = try MLMultiArray(shape: inputShape.shape, dataType: inputShape.dataType)
            features = try MLDictionaryFeatureProvider(dictionary: [inputName: input])
            // A proposal: Core ML may write elsewhere, so that outputs are never read from here.
            let backing = try MLMultiArray(shape: outputShape.shape, dataType: outputShape.dataType)
            options.outputBackings = [outputName: backing]
            var generator = SplitMix64(seed: seed)
            source = (0..<input.count).map { _ in Float.random(in: -1..<1, using: &generator) }
            refreshInput()
        }

        func refreshInput() { fill(input, with: source[...]) }

        func call() throws { _ = try predict() }

        func outputs(for inputs: [UInt8]) throws -> [UInt8] {
            let values = inputs.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
            guard !values.isEmpty, values.count % input.count == 0 else {
                throw BackendError("the inputs hold \(values.count) numbers, a set is \(input.count)")
            }
            var made: [Float] = []
            for start in stride(from: 0, to: values.count, by: input.count) {
                fill(input, with: values[start..<start + input.count])
                guard let output = try predict().featureValue(for: outputName)?.multiArrayValue else {
                    throw BackendError("the model returned no array \(outputName)")
                }
                made += (0..<output.count).map { output[$0].floatValue }
            }
            refreshInput()
            return made.withUnsafeBytes { Array($0) }
        }

        private func predict() throws -> MLFeatureProvider {
            try model.prediction(from: features, options: options)
        }

        private func fill(_ array: MLMultiArray, with values: ArraySlice<Float>) {
            #if arch(arm64) || os(Linux)  // Linux: for the type check alone
                if array.dataType == .float16 {
                    array.withUnsafeMutableBufferPointer(ofType: Float16.self) { buffer, _ in
                        for (place, value) in zip(buffer.indices, values) { buffer[place] = Float16(value) }
                    }
                    return
                }
            #endif
            for (place, value) in values.enumerated() { array[place] = NSNumber(value: value) }
        }
    }
#endif
